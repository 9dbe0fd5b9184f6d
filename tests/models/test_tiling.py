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


def test_picture_that_is_not_cut_has_the_pixels_of_its_latents() -> None:
    grid = TileGrid.of_config(240, 360, table()["models"]["5b"]["configs"]["vae"])
    assert (grid.rows.pixels, grid.columns.pixels) == ((240,), (360,))
    assert (grid.rows.blend, grid.columns.blend) == (0, 0)


def test_grid_of_a_vae_is_that_of_its_configuration() -> None:
    import torch
    from diffusers import AutoencoderKLCogVideoX

    published = table()["models"]["5b"]["configs"]["vae"]
    with torch.device("meta"):
        vae = AutoencoderKLCogVideoX.from_config(published)
    vae.enable_tiling()
    cut = TileGrid.of_vae(60, 90, vae)
    assert cut == TileGrid.of_config(480, 720, published)
    assert cut.tiled
    vae.disable_tiling()
    whole = TileGrid.of_vae(60, 90, vae)
    assert (whole.tiled, whole.tiles) == (False, [(60, 90)])
    assert (whole.rows.pixels, whole.columns.pixels) == ((480,), (720,))
