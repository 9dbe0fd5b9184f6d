"""Previews while a video forms: a linear map from latents to colours, fitted from the VAE."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cogmagic._errors import first_line

if TYPE_CHECKING:
    import numpy as np
    import torch

__all__ = ["OnPreview", "Preview"]


OnPreview = Callable[["np.ndarray[Any, Any]"], None]
"""Called with uint8 RGB, latent frames × latent height × latent width × 3."""


_GRID = 8
"""Patches per side that are decoded for the fit, each of 2 × 2 latents of one random colour."""


_TIME_SHARE = 0.01
"""The share of denoising time that previews may take."""


class Preview:
    """Shows latents as small pictures, as often as fits in a hundredth of the denoising time.

    An error in a preview ends the previews, never the video.
    """

    def __init__(self, pipe: Any, show: OnPreview) -> None:
        self._show = show
        self._map: torch.Tensor | None = None
        self.note = ""
        """Why there are no previews; empty if there are."""
        try:
            self._map = _fitted(pipe)
        except Exception as error:
            self.note = f"without a preview: {first_line(error)[:120]}"
        self._began, self._spent = time.monotonic(), 0.0

    def __call__(self, latents: torch.Tensor) -> None:
        """Show latents [1, frames, channels, height, width] after a step."""
        now = time.monotonic()
        if self._map is None or self._spent > (now - self._began) * _TIME_SHARE:
            return
        try:
            self._show(_colours(latents, self._map))
        except Exception:
            self._map = None
        self._spent += time.monotonic() - now


def _colours(latents: torch.Tensor, colour_map: torch.Tensor) -> np.ndarray[Any, Any]:
    import torch

    weights, bias = colour_map[:-1].to(latents.device), colour_map[-1].to(latents.device)
    rgb = torch.einsum("fchw,cd->fhwd", latents[0].float(), weights) + bias
    rgb = (rgb / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)
    pixels: np.ndarray[Any, Any] = rgb.cpu().numpy()
    return pixels


def _fitted(pipe: Any) -> torch.Tensor:
    """The map [channels + 1, 3] that comes nearest to what the VAE decodes from random patches.

    One decode of a small clip; least squares with a little damping, since 64 patches determine some
    of the 16 channels better than others.
    """
    import torch

    channels = pipe.vae.config.latent_channels
    generator = torch.Generator("cpu").manual_seed(0)
    patches = torch.randn(1, channels, _GRID, _GRID, generator=generator)
    latents = torch.nn.functional.interpolate(patches, scale_factor=2, mode="nearest")
    device, dtype = pipe._execution_device, pipe.vae.dtype
    with torch.no_grad():
        video = pipe.decode_latents(latents[:, None].to(device, dtype))
    pixels = torch.nn.functional.adaptive_avg_pool2d(video[0, :, 0].float().cpu(), _GRID)
    inputs = torch.cat([patches[0].flatten(1).T, torch.ones(_GRID**2, 1)], dim=1)
    damped = inputs.T @ inputs + 0.1 * torch.eye(channels + 1)
    colour_map: torch.Tensor = torch.linalg.solve(damped, inputs.T @ pixels.flatten(1).T)
    if not colour_map.isfinite().all():
        raise ValueError("the VAE decodes to numbers that are not finite")
    return colour_map
