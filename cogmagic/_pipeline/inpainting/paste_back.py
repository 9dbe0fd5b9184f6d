"""What becomes of an inpainted video's frames: the input's own pixels, and no bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cogmagic._models.fitting_remarks import part_without_bars
from cogmagic._models.masks.levels import KEPT
from cogmagic._models.request import Request

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

__all__ = ["pasted", "without_bars"]


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


def without_bars(frames: Array, request: Request) -> Array:
    """The frames without the bars that ``--fit pad`` has added to a masked video.

    Args:
        frames: uint8 RGB, frames × height × width × 3; none on other ranks than the first.
        request: what they are of.
    """
    part = part_without_bars(request)
    if part is None or not len(frames):
        return frames
    import numpy as np

    return np.ascontiguousarray(frames[:, part.rows, part.columns])
