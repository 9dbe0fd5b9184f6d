"""What an inpainting model sees of a request's inputs: frames, and which part of them is new."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cogmagic._errors import RequestError
from cogmagic._models.clips.container import CONVERT
from cogmagic._models.fitting import Fit, Part, fitted, padded_part
from cogmagic._models.masks.against_clip import Excerpt, times_of
from cogmagic._models.masks.levels import KEPT, REMOVED, in_levels
from cogmagic._models.request import Request
from cogmagic._video.clip_reader import frames_at_times

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

__all__ = ["masked_frames", "with_mask_read"]


def with_mask_read(request: Request, check: Callable[[], None]) -> tuple[Request, Array | None]:
    """A request without the content of its mask, and the mask at the request's size and times.

    The mask is uint8, frames × height × width, in the levels of `cogmagic._models.masks.levels`.

    Args:
        request: with a mask or without.
        check: called for each decoded frame; may raise to stop.

    Raises:
        RequestError: for a picture in place of a mask, for a mask that selects nothing or all, and
            for a damaged file.
    """
    import numpy as np

    if request.mask is None:
        return request, None
    part, fit = _part(request)
    pixels = np.empty((request.num_frames, part.height, part.width), np.uint8)
    colour, count = 0.0, 0
    for count, frame in enumerate(_frames(request, (part.width, part.height), fit, check), 1):
        frame.max(axis=2, out=pixels[count - 1])
        colour += float((pixels[count - 1] - frame.min(axis=2)).mean())
    if count < request.num_frames - 1:
        raise RequestError(
            f"{request.mask.shown}: only {count} of the {request.num_frames} frames that are used"
            f" can be decoded. {CONVERT}"
        )
    pixels[count:] = pixels[count - 1]  # of a file that ends a frame before its clip
    levels = in_levels(
        pixels,
        colour / count,
        request.mask.shown,
        kinds=request.model.task == "void",
        white=request.mask.white,
        invert=request.invert_mask,
    )
    inputs = {**request.inputs, "mask": request.mask.read(levels.white, levels.share)}
    request, inner = replace(request, inputs=inputs), levels.pixels
    if request.fit != "pad":
        return request, inner
    whole = np.full((request.num_frames, request.height, request.width), KEPT, np.uint8)
    whole[:, part.rows, part.columns] = inner
    return request, whole


def _part(request: Request) -> tuple[Part, Fit]:
    """The part of each frame that has a mask, and how the mask is fitted to it.

    Bars have none: they are neither black nor white.
    """
    size = request.width, request.height
    if request.fit != "pad" or request.video is None:
        return Part(0, 0, *size), request.fit
    return padded_part(request.video.size, size), "stretch"


def _frames(
    request: Request, size: tuple[int, int], fit: Fit, check: Callable[[], None]
) -> Iterator[Array]:
    """The mask's frames at the request's times, of `size`: uint8 RGB, height × width × 3."""
    import numpy as np
    from PIL import Image

    mask, clip = request.mask, request.video
    assert mask is not None and clip is not None  # noqa: S101, PT018 - the rules have looked
    if mask.clip is None:
        picture = Image.fromarray(np.ascontiguousarray(mask.source))
        frame = np.asarray(fitted(picture, size, fit, by_area=True))
        yield from (frame for _ in range(request.num_frames))
        return
    taken = times_of(mask.clip, Excerpt(clip, request.start, request.fps, request.num_frames))
    yield from frames_at_times(taken.clip, taken.times, taken.fps, size, fit, check, by_area=True)


def masked_frames(request: Request, first: Array | None) -> tuple[Array, Array]:
    """The clip that begins and ends with given frames, and the mask of all between them.

    Args:
        request: with a last image or without.
        first: the frames that it begins with, of which there are a few: uint8 RGB; None to take the
            request's image.
    """
    import numpy as np

    size = request.width, request.height
    if first is None:
        first = np.asarray(fitted(request.image, size, request.fit))[None]
    clip = np.broadcast_to(first[:1], (request.num_frames, *first.shape[1:])).copy()
    clip[: len(first)] = first
    pixels = np.full(clip.shape[:3], REMOVED, np.uint8)
    pixels[: len(first)] = KEPT
    if request.last_image is not None:
        clip[-1] = np.asarray(fitted(request.last_image, size, request.fit))
        pixels[-1] = KEPT
    return clip, pixels
