"""The kept part of a video with the input's own pixels, which the VAE would have changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cogmagic._models.masks.levels import KEPT

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

__all__ = ["pasted"]


def pasted(frames: Array, clip: Array, mask: Array) -> Array:
    """The frames, with the clip's pixels where the mask keeps them.

    Args:
        frames: uint8 RGB, frames × height × width × 3; changed in place.
        clip: as many of the same size.
        mask: uint8, frames × height × width.
    """
    for new, own, levels in zip(frames, clip, mask, strict=True):
        kept = levels == KEPT
        new[kept] = own[kept]
    return frames
