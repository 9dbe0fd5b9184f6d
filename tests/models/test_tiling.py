"""The VAE's tile grid."""

from __future__ import annotations

from cogmagic._footprint.configs import table
from cogmagic._models.tiling import TileGrid, frame_batches


def test_tiles_are_those_of_the_vae() -> None:
    published = table()["models"]["5b"]["configs"]["vae"]
    grid = TileGrid.of_config(272, 400, published)
    assert grid.tiles == [(30, 45), (30, 14), (9, 45), (9, 14)]
    assert grid.tiled
    untiled = TileGrid.of_config(240, 360, published)
    assert (untiled.tiles, untiled.tiled) == ([(30, 45)], False)


def test_odd_latent_frame_is_decoded_with_the_first_batch() -> None:
    assert frame_batches(13) == [3, 2, 2, 2, 2, 2]
    assert frame_batches(1) == [1]
