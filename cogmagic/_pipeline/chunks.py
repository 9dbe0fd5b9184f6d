"""A long clip in chunks, so that memory on the GPU does not grow with it.

Each chunk begins with frames that the chunk before has made: the model sees them as part of the
video, which it is to keep, so that it continues what it has put in the place of an object. Where
two chunks have the same frames, the earlier one's fade into the later one's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cogmagic._models.masks.levels import KEPT
from cogmagic._models.request import Request
from cogmagic._progress import Clock, PartClock

if TYPE_CHECKING:
    import numpy as np

    from cogmagic._pipeline.parallel.group import Rank

    Array = np.ndarray[Any, Any]

__all__ = ["FinishedChunks", "in_chunks"]


@dataclass
class FinishedChunks:
    """The finished chunks of a clip, from which the next attempt goes on if memory runs out."""

    spans: tuple[tuple[int, int], ...]
    """Of all chunks: the first frame of each, and the one after its last."""
    count: int = 0
    """How many are finished."""
    frames: Array | None = None
    """Those of the whole clip, up to the end of the last finished chunk; None before the first."""

    @property
    def text(self) -> str:
        """How many are finished, such as ``4 of 6 chunks``; empty for none."""
        return f"{self.count} of {len(self.spans)} chunks" if self.count else ""

    @property
    def made(self) -> int:
        """How many frames they have together."""
        return self.spans[self.count - 1][1] if self.count else 0

    @property
    def nbytes(self) -> int:
        """Bytes of these frames."""
        return 0 if self.frames is None else self.frames[: self.made].nbytes


def in_chunks(
    request: Request,
    clip: Array | None,
    mask: Array | None,
    clock: Clock,
    rank: Rank | None,
    make: Callable[[Request, Array | None, Array | None, Clock], Array],
    finished: FinishedChunks,
) -> Array:
    """The frames of a request: uint8 RGB, frames × height × width × 3; none on other ranks.

    Args:
        request: what to generate.
        clip: the frames that the model sees: uint8 RGB, frames × height × width × 3.
        mask: which part of them is made new: uint8, frames × height × width.
        clock: receives the phases; a step of it is one of a chunk.
        rank: this process, where several make the video.
        make: makes the frames of one chunk.
        finished: the chunks that are left out; receives each of the others when it is finished.
    """
    spans, first = finished.spans, finished.count
    if len(spans) == 1 or clip is None or mask is None:
        return make(request, clip, mask, clock)
    import numpy as np

    if finished.frames is None:
        finished.frames = np.empty((request.num_frames, *clip.shape[1:]), np.uint8)
    whole, made = finished.frames, finished.made
    for number, (start, stop) in enumerate(spans[first:], first):
        own, levels = clip[start:stop], mask[start:stop]
        known = whole[start:made]
        if number:
            own, levels = own.copy(), levels.copy()
            own[: len(known)] = _of_first(known, rank)
            levels[: len(known)] = KEPT
        part = replace(request, num_frames=stop - start)
        new = make(part, own, levels, PartClock(clock, number, len(spans), first))
        if len(new):
            known[:] = _faded(known, new)  # at once: another attempt needs all of it, or none
            whole[made:stop] = new[len(known) :]
        made, finished.count = stop, number + 1
    return whole if rank is None or rank.first else whole[:0]


def _of_first(frames: Array, rank: Rank | None) -> Array:
    """Frames of rank 0, which alone has them, on every rank."""
    return rank.shared(lambda: frames) if rank else frames


def _faded(earlier: Array, later: Array) -> Array:
    """All of `earlier`, with the beginning of `later` blended into it linearly."""
    faded = earlier.copy()
    for i, frame in enumerate(faded):
        share = (i + 1) / (len(faded) + 1)
        blended = (1 - share) * frame + share * later[i]
        frame[:] = blended.round()
    return faded
