"""A long clip in chunks, so that memory on the GPU does not grow with it.

Each chunk begins with frames that the chunk before has made: the model sees them as part of the
video, which it is to keep, so that it continues what it has put in the place of an object. Where
two chunks have the same frames, the earlier one's fade into the later one's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cogmagic._models.chunks import chunk_spans
from cogmagic._models.masks.levels import KEPT
from cogmagic._models.request import Request
from cogmagic._progress import Clock, PartClock

if TYPE_CHECKING:
    import numpy as np

    from cogmagic._pipeline.parallel.group import Rank

    Array = np.ndarray[Any, Any]

__all__ = ["in_chunks"]


def in_chunks(
    request: Request,
    clip: Array | None,
    mask: Array | None,
    clock: Clock,
    rank: Rank | None,
    make: Callable[[Request, Array | None, Array | None, Clock], Array],
) -> Array:
    """The frames of a request: uint8 RGB, frames × height × width × 3; none on other ranks.

    Args:
        request: what to generate.
        clip: the frames that the model sees: uint8 RGB, frames × height × width × 3.
        mask: which part of them is made new: uint8, frames × height × width.
        clock: receives the phases; a step of it is one of a chunk.
        rank: this process, where several make the video.
        make: makes the frames of one chunk.
    """
    spans = chunk_spans(request)
    if len(spans) == 1 or clip is None or mask is None:
        return make(request, clip, mask, clock)
    import numpy as np

    whole = np.empty((request.num_frames, *clip.shape[1:]), np.uint8)
    made = 0
    for number, (start, stop) in enumerate(spans):
        own, levels = clip[start:stop], mask[start:stop]
        known = whole[start:made]
        if number:
            own, levels = own.copy(), levels.copy()
            own[: len(known)] = _of_first(known, rank)
            levels[: len(known)] = KEPT
        part = replace(request, num_frames=stop - start)
        new = make(part, own, levels, PartClock(clock, number, len(spans)))
        if len(new):
            _fade(known, new)
            whole[made:stop] = new[len(known) :]
        made = stop
    return whole if rank is None or rank.first else new


def _of_first(frames: Array, rank: Rank | None) -> Array:
    """Frames of rank 0, which alone has them, on every rank."""
    return rank.shared(lambda: frames) if rank else frames


def _fade(earlier: Array, later: Array) -> None:
    """Blend the beginning of `later` into all of `earlier`, linearly, in place."""
    for i, frame in enumerate(earlier):
        share = (i + 1) / (len(earlier) + 1)
        blended = (1 - share) * frame + share * later[i]
        frame[:] = blended.round()
