"""Tiles of the VAE."""

from __future__ import annotations

from cogmagic._footprint.tiling import Tiling


def test_tiles_are_those_of_the_vae() -> None:
    tiling = Tiling((34, 50), (30, 45), 8)
    assert tiling.tiles() == [(30, 45), (30, 14), (9, 45), (9, 14)]
    assert Tiling((12, 15), (12, 15), 8).tiles() == [(12, 15)]
