"""The VAE's tile grid and its batches of frames: pure arithmetic.

As ``AutoencoderKLCogVideoX.tiled_decode`` and ``_decode`` of diffusers cut them; ``tiled_encode``
cuts the same tiles in pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cogmagic._models.family import spatial_scale

__all__ = ["FRAME_BATCH", "SAMPLE_BATCH", "Cut", "TileGrid", "frame_batches"]


FRAME_BATCH = 2
"""Latent frames that the VAE decodes at a time."""


SAMPLE_BATCH = 8
"""Frames that the VAE encodes at a time."""


_OVERLAPS = (1 / 6, 1 / 5)
"""By how much tiles overlap, in height and width: the VAE's ``tile_overlap_factor_*``."""


@dataclass(frozen=True)
class Cut:
    """One side of the picture cut into tiles, and put together again."""

    tile: int
    """Latents of a tile."""
    starts: range
    """Starts of the tiles, in latents."""
    lengths: tuple[int, ...]
    """Latents of each tile; those at the far edge are shorter."""
    blend: int
    """Pixels over which a tile blends into the next one."""
    pixels: tuple[int, ...]
    """Pixels of the picture that come from each tile."""

    @classmethod
    def of(cls, length: int, tile: int, sample: int, overlap: float, scale: int) -> Cut:
        """The cut of `length` latents.

        Args:
            length: latents of the whole side.
            tile: latents of a tile (``tile_latent_min_*``).
            sample: pixels of a tile (``tile_sample_min_*``).
            overlap: the part of a tile that overlaps the next one.
            scale: pixels per latent.
        """
        blend = int(sample * overlap)
        starts = range(0, length, int(tile * (1 - overlap)))
        lengths = tuple(min(tile, length - start) for start in starts)
        pixels = tuple(min(sample - blend, n * scale) for n in lengths)
        return cls(tile, starts, lengths, blend, pixels)

    @classmethod
    def whole(cls, length: int, scale: int) -> Cut:
        """A side that is not cut."""
        return cls(length, range(1), (length,), 0, (length * scale,))


@dataclass(frozen=True)
class TileGrid:
    """How the VAE cuts a picture of latents into overlapping tiles."""

    size: tuple[int, int]
    """Height and width of the picture, in latents."""
    scale: int
    """Pixels per latent, each way."""
    rows: Cut
    columns: Cut

    @classmethod
    def of_config(cls, height: int, width: int, config: Mapping[str, Any]) -> TileGrid:
        """The grid for a picture in pixels, of a VAE of that configuration.

        Tiles are half the configured sample size.
        """
        scale = spatial_scale(config)
        samples = config["sample_height"] // 2, config["sample_width"] // 2
        tiles = samples[0] // scale, samples[1] // scale
        size = height // scale, width // scale
        return cls._of(size, scale, tiles, samples, _OVERLAPS)

    @classmethod
    def of_vae(cls, height: int, width: int, vae: Any) -> TileGrid:
        """The grid for a picture in latents, of an ``AutoencoderKLCogVideoX`` as it is set up."""
        size, scale = (height, width), spatial_scale(vae.config)
        if not vae.use_tiling:
            return cls._whole(size, scale)
        tiles = vae.tile_latent_min_height, vae.tile_latent_min_width
        samples = vae.tile_sample_min_height, vae.tile_sample_min_width
        overlaps = vae.tile_overlap_factor_height, vae.tile_overlap_factor_width
        return cls._of(size, scale, tiles, samples, overlaps)

    @classmethod
    def _of(
        cls,
        size: tuple[int, int],
        scale: int,
        tiles: tuple[int, int],
        samples: tuple[int, int],
        overlaps: tuple[float, float],
    ) -> TileGrid:
        if size[0] <= tiles[0] and size[1] <= tiles[1]:
            return cls._whole(size, scale)
        sides = zip(size, tiles, samples, overlaps, strict=True)
        rows, columns = (Cut.of(*side, scale) for side in sides)
        return cls(size, scale, rows, columns)

    @classmethod
    def _whole(cls, size: tuple[int, int], scale: int) -> TileGrid:
        rows, columns = (Cut.whole(length, scale) for length in size)
        return cls(size, scale, rows, columns)

    @property
    def tiled(self) -> bool:
        """Whether the picture is cut at all."""
        return self.size[0] > self.rows.tile or self.size[1] > self.columns.tile

    @property
    def tiles(self) -> list[tuple[int, int]]:
        """Height and width of each tile in latents, in the order in which they are decoded."""
        return [(height, width) for height in self.rows.lengths for width in self.columns.lengths]


def frame_batches(frames: int, batch: int = FRAME_BATCH) -> list[int]:
    """Frames of each of the VAE's passes over a tile; what is left over goes with the first."""
    passes = max(frames // batch, 1)
    return [frames - batch * (passes - 1), *[batch] * (passes - 1)]
