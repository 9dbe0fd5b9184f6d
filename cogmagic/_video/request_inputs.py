"""The content of a request's inputs, as its run takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cogmagic._models.request import Request
from cogmagic._video.clip_reader import with_frames_read
from cogmagic._video.extension import Earlier, with_first_frame
from cogmagic._video.mask_reader import masked_frames, with_mask_read

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

__all__ = ["inputs_read"]


def inputs_read(
    request: Request, check: Callable[[], None]
) -> tuple[Request, Array | None, Array | None, Earlier | None]:
    """The request without large content, its clip and mask, and the clip that it extends.

    Clip and mask are at the request's size and rate, as many frames as it has: see `Job`.

    Args:
        request: with inputs or without.
        check: called for each decoded frame; may raise to stop.

    Raises:
        RequestError: for a file that is damaged or has changed, and for a mask that is none.
    """
    request, clip = with_frames_read(request, check)
    request, mask = with_mask_read(request, check)
    request, earlier = with_first_frame(request)
    if request.model.inpaints and request.image is not None:
        clip, mask = masked_frames(request, earlier.overlap if earlier else None)
    return request, clip, mask, earlier
