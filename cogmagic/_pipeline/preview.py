"""A preview of the video as it forms: a linear map from latents to colours, fitted from the VAE."""

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
"""Is given uint8 RGB, latent frames × latent height × latent width × 3."""


_GRID = 8
"""Patches a side that are decoded for the fit, each of 2 × 2 latents of one random colour."""


_SHARE = 0.01
"""The part of the time of denoising that previews may take."""


class Preview:
    """Shows latents as small pictures, as often as costs no more than a hundredth of the time.

    A video is worth more than its preview: what goes wrong with one ends the previews alone.
    """

    def __init__(self, pipe: Any, show: OnPreview) -> None:
        self._show = show
        self._map: torch.Tensor | None = None
        self.note = ""
        """Why there is none."""
        try:
            self._map = _fitted(pipe)
        except Exception as error:
            first = first_line(error)
            self.note = f"without a preview: {first[:120]}"
        self._began, self._spent = time.monotonic(), 0.0

    def __call__(self, latents: torch.Tensor) -> None:
        """Latents [1, frames, channels, height, width] after a step."""
        now = time.monotonic()
        if self._map is None or self._spent > (now - self._began) * _SHARE:
            return
        try:
            self._show(_colours(latents, self._map))
        except Exception:
            self._map = None
        self._spent += time.monotonic() - now


def _colours(latents: torch.Tensor, mapped: torch.Tensor) -> np.ndarray[Any, Any]:
    import torch

    weights, bias = mapped[:-1].to(latents.device), mapped[-1].to(latents.device)
    rgb = torch.einsum("fchw,cd->fhwd", latents[0].float(), weights) + bias
    found: np.ndarray[Any, Any] = (rgb / 2 + 0.5).clamp(0, 1).mul(255).to(torch.uint8).cpu().numpy()
    return found


def _fitted(pipe: Any) -> torch.Tensor:
    """The map [channels + 1, 3] that comes nearest to what the VAE makes of random patches.

    One decode of a small clip; least squares with a little damping, since 64 patches say more of
    some of the 16 channels than of others.
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
    known = torch.cat([patches[0].flatten(1).T, torch.ones(_GRID**2, 1)], dim=1)
    damped = known.T @ known + 0.1 * torch.eye(channels + 1)
    found: torch.Tensor = torch.linalg.solve(damped, known.T @ pixels.flatten(1).T)
    return found
