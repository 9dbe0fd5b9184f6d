"""Tier ``none``, no offload: every component on the GPU for the whole run."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from cogmagic._footprint.footprint import Footprint
from cogmagic._tiers.base import Phases, Placement, Tier, Variant, encoding_video

if TYPE_CHECKING:
    from cogmagic._tiers.host_copy import HostCopy

__all__ = ["NoOffload"]


class NoOffload(Tier):
    """Every component on the GPU for the whole run."""

    name = "none"
    title = "no offload"
    meaning = "every component on the device"
    offloads = False
    on_gpu = True

    def phases(self, f: Footprint, overhead: int, variant: Variant) -> tuple[Phases, ...]:
        """All weights in every phase."""
        weights = f.text_encoder.weights + f.transformer.weights + f.vae.weights
        image = f.encode_image.peak if f.encode_image else 0
        return (
            {
                "load": weights,
                "encode": weights + f.encode.peak + overhead,
                "denoise": weights + max(f.denoise.peak, image) + overhead,
                "decode": weights + f.decode.peak + overhead,
            }
            | encoding_video(f, weights + overhead),
        )

    def place(self, pipe: Any, placement: Placement, host: HostCopy, undo: ExitStack) -> None:
        """Copy everything to the device."""
        host.onload(placement.device)
