"""A clip that a video goes on from, and both joined. The clip is decoded while it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from cogmagic._errors import RequestError
from cogmagic._models.clips.clip import Clip
from cogmagic._models.clips.container import CONVERT
from cogmagic._models.clips.lengths import times_to_end
from cogmagic._models.request import Request
from cogmagic._video.clip_reader import frames_at_times, truncation
from cogmagic._video.formats.base import Streamed
from cogmagic._video.seam import match_seam

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

__all__ = ["Earlier", "Extended", "total_frames", "with_first_frame"]


OnFrame = Callable[[int, int], None]


def _ignore(done: int, total: int) -> None:
    del done, total


@dataclass(frozen=True)
class Extended(Streamed):
    """The frames of a clip and, after them, new ones."""

    new: Array
    """The new frames, those of the overlap first: uint8 RGB, frames × height × width × 3."""


@dataclass(frozen=True)
class Earlier:
    """The clip that a video goes on from, at the video's rate and size."""

    clip: Clip
    request: Request
    """The video's, without the clip."""
    times: tuple[Fraction, ...]
    """When each of the clip's frames is shown, in seconds since its first one."""
    overlap: Array
    """Its last frames, on the first of which the model is conditioned: uint8 RGB, frames × height ×
    width × 3."""

    @classmethod
    def of(cls, request: Request, clip: Clip) -> Earlier:
        """The clip with its last frames, which are decoded now.

        Raises:
            RequestError: for a clip whose end is damaged, or that has changed since it was checked.
        """
        import numpy as np

        times = tuple(times_to_end(clip, request.fps))
        own = replace(clip, original=None)
        last = list(_frames(own, request, times[-request.overlap :]))
        if len(last) < request.overlap:
            raise truncation(clip) or RequestError(
                f"The end of {clip.shown} cannot be decoded. {CONVERT}"
            )
        return cls(clip, replace(request, inputs={}), times, np.stack(last))

    @property
    def counts(self) -> tuple[int, int]:
        """The number of the clip's frames, and how many more the video has."""
        return len(self.times), self.request.num_frames - len(self.overlap)

    def joined(self, new: Array, on_frame: OnFrame = _ignore) -> Extended:
        """All frames of the video: those of the clip, and the new ones in its colours.

        Args:
            new: uint8 RGB, frames × height × width × 3; changed in place where it can be.
            on_frame: called after each frame of the clip that is read, with its number from 1 and
                the number of all; may raise to stop.
        """
        if not new.flags.writeable:
            new = new.copy()
        match_seam(new, self.overlap)
        return Extended((sum(self.counts), *new.shape[1:]), lambda: self._all(new, on_frame), new)

    def _all(self, new: Array, on_frame: OnFrame) -> Iterator[Array]:
        before = self.times[: -len(self.overlap)]
        count = 0
        for frame in _frames(self.clip, self.request, before):
            yield frame
            count += 1
            on_frame(count, len(before))
        if count < len(before):
            raise RequestError(f"{self.clip.shown} can be decoded up to frame {count} only.")
        yield from new


def with_first_frame(request: Request) -> tuple[Request, Earlier | None]:
    """The request with the first frame that the clip to extend has for it, and that clip.

    Raises:
        RequestError: for a clip whose end is damaged, or that has changed since it was checked.
    """
    from PIL import Image

    if (clip := request.extend) is None:
        return request, None
    earlier = Earlier.of(request, clip)
    inputs = {"extend": clip.without_frames(), "image": Image.fromarray(earlier.overlap[0])}
    return replace(request, inputs={**request.inputs, **inputs}), earlier


def total_frames(request: Request) -> int:
    """Frames of a request's video, with those of the clip that it extends."""
    clip = request.extend
    before = len(times_to_end(clip, request.fps)) if clip else 0
    return before + request.num_frames - request.overlap


def _frames(clip: Clip, request: Request, times: Sequence[Fraction]) -> Iterator[Array]:
    """The frames at some times; those that an original has are read there."""
    parts = []
    while clip.original is not None:  # of which a batch may have hundreds
        parts.append((clip, times[clip.shared :]))
        times = times_to_end(clip.original, request.fps)[: clip.shared]
        clip = clip.original
    size = request.width, request.height
    for part, shown in reversed([*parts, (clip, times)]):
        if shown:
            yield from frames_at_times(part, shown, request.fps, size, request.fit)
