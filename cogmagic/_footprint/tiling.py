"""How a picture is cut into tiles, and a clip into latents. Pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from cogmagic._footprint.configs import Configs
from cogmagic._models.request import Request

__all__ = ["Tiling", "clip_of", "ends"]


@dataclass(frozen=True)
class Tiling:
    """How the VAE cuts a picture, in latents (``AutoencoderKLCogVideoX.tiled_decode``).

    ``tiled_encode`` cuts the same tiles in pixels.
    """

    size: tuple[int, int]
    tile: tuple[int, int]
    scale: int
    """Pixels to a latent, each way."""

    @classmethod
    def of(cls, request: Request, configs: Configs) -> Tiling:
        """The tiling of a request's pictures: tiles are half the configured sample size."""
        vae = configs["vae"]
        scale = 2 ** (len(vae["block_out_channels"]) - 1)
        return cls(
            size=(request.height // scale, request.width // scale),
            tile=(vae["sample_height"] // 2 // scale, vae["sample_width"] // 2 // scale),
            scale=scale,
        )

    @property
    def tiled(self) -> bool:
        """Whether the picture is cut at all."""
        return self.size[0] > self.tile[0] or self.size[1] > self.tile[1]

    def tiles(self) -> list[tuple[int, int]]:
        """Height and width of each tile, in the order in which they are decoded."""
        if not self.tiled:
            return [self.size]
        (height, width), (high, wide) = self.size, self.tile
        down, right = int(high * (1 - 1 / 6)), int(wide * (1 - 1 / 5))  # the VAE's overlaps
        return [
            (min(high, height - i), min(wide, width - j))
            for i in range(0, height, down)
            for j in range(0, width, right)
        ]


def clip_of(request: Request, configs: Configs) -> tuple[int, int, int]:
    """Frames, height and width of the latents to denoise: CogVideoX 1.5 pads the frames."""
    _, height, width = (0, *Tiling.of(request, configs).size)
    patch = configs["transformer"]["patch_size_t"] or 1
    return -(-request.latent_frames // patch) * patch, height, width


def ends(tiles: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The tiles of the smallest, the middle and the largest area, each once."""
    by_area = sorted({prod(tile): tile for tile in tiles}.items())
    picked = {0, len(by_area) // 2, len(by_area) - 1}
    return [by_area[i][1] for i in sorted(picked)]
