"""The number of frames of a clip at a request's rate, and the error of a clip that is too short."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from cogmagic._errors import RequestError
from cogmagic._models.clips.animation import animation_frames
from cogmagic._models.clips.clip import Clip, check_unchanged
from cogmagic._models.clips.file_frames import end_of
from cogmagic._models.clips.header import VideoFile
from cogmagic._models.clips.times import as_time, count_at, tolerance
from cogmagic._models.real_numbers import real_number

__all__ = [
    "check_length",
    "check_start",
    "frame_count",
    "frames_at",
    "interval_at",
    "times_to_end",
    "too_short",
]


_FOREVER = Fraction(10**8)
"""Three years, in seconds."""


def check_start(start: object) -> Fraction:
    """The second of the clip at which a request starts.

    Raises:
        RequestError: for what is not a number of seconds from 0 on.
    """
    seconds = real_number("start", start)
    if not 0 <= seconds < _FOREVER:  # nor NaN
        raise RequestError(
            f"--start is {seconds:.12g}, but must be seconds from 0 to 10^8. For the beginning:"
            " --start 0."
        )
    return as_time(seconds)


def frames_at(clip: Clip, *, start: float, fps: int, most: int) -> int:
    """How many frames at `fps` the clip has from `start` seconds on; at most `most`.

    Reads the time stamps around the last of them, and decodes nothing.

    Raises:
        RequestError: for a start beyond the end, and for a file that has changed or been removed.
    """
    check_unchanged(clip)
    first = check_start(start)
    slack = tolerance(interval_at(clip, fps), fps)
    end = _end(clip, fps, first + Fraction(most, fps))
    if count := min(count_at(end, first, fps, slack), most):
        return count
    raise _beyond(clip, start, end)


def frame_count(clip: Clip) -> int:
    """How many frames the clip has at its own usual rate, from its time stamps. Decodes nothing.

    Raises:
        RequestError: for a file that has changed since it was checked.
    """
    check_unchanged(clip)
    return max(round(_end(clip, 1, _FOREVER) / interval_at(clip, 1)), 1)


def times_to_end(clip: Clip, fps: int) -> list[Fraction]:
    """The times of the whole clip's frames at `fps`, counted back from its last frame.

    So the last one is the clip's own last frame, whatever its rate, and less than ``1 / fps``
    seconds of its beginning are left out. Decodes nothing.

    Raises:
        RequestError: for a file that has changed since it was checked.
    """
    check_unchanged(clip)
    interval, slack = interval_at(clip, fps), tolerance(interval_at(clip, fps), fps)
    end = _end(clip, fps, _FOREVER)
    # In the middle of the frames, whose time stamps may be rounded either way.
    last = end - min(interval, Fraction(1, fps)) / 2 - slack
    earlier = max(math.floor(last * fps), 0)
    times = [last - Fraction(n, fps) for n in range(earlier, 0, -1)]
    return [*times, max(end - 2 * slack, Fraction(0))]


def check_length(
    clip: Clip, *, start: float, fps: int, num_frames: int, legal: Sequence[int]
) -> None:
    """Check that the clip has all frames of a request.

    Args:
        clip: the clip.
        start: the second at which the request starts.
        fps: frames per second of the request.
        num_frames: how many it asks for.
        legal: the numbers of frames that its model can make.

    Raises:
        RequestError: for a clip that is too short, with the nearest legal number.
    """
    count = frames_at(clip, start=start, fps=fps, most=num_frames)
    if count < num_frames:
        raise too_short(clip, count, start=start, fps=fps, num_frames=num_frames, legal=legal)


def too_short(
    clip: Clip, count: int, *, start: float, fps: int, num_frames: int, legal: Sequence[int]
) -> RequestError:
    """The error of a clip that has only `count` of the frames; see `check_length`."""
    if not count and start:
        return _beyond(clip, start, _end(clip, fps, _FOREVER))
    after = f" after {start:.12g} s" if start else ""
    fewer = max((n for n in legal if n <= count), default=None)
    if fewer is not None:
        advice = f"Nearest: --num-frames {fewer}."
    elif legal:
        advice = f"Pass a clip of at least {min(legal)} frames ({min(legal) / fps:.2f} s)."
    else:
        advice = "Pass a longer clip."
    latest = _end(clip, fps, _FOREVER) - Fraction(num_frames, fps) if start else -1
    if latest >= 0:
        advice = f"{advice[:-1]}, or --start {math.floor(latest * 100) / 100:.12g}."
    rate = "" if clip.fps is None else f" at {fps} fps"
    frames = "1 frame" if count == 1 else f"{count} frames"
    return RequestError(
        f"{clip.shown} has only {frames}{rate}{after}, but {num_frames} are needed. {advice}"
    )


def _beyond(clip: Clip, start: float, end: Fraction) -> RequestError:
    return RequestError(
        f"{clip.shown} lasts {float(end):.2f} s, so --start {start:.12g} is beyond its end."
        " For its beginning: --start 0."
    )


def interval_at(clip: Clip, fps: int) -> Fraction:
    """The usual seconds from one frame of the clip to the next, in a request of that `fps`."""
    if isinstance(clip.source, VideoFile):
        return clip.source.header.clock.interval
    return 1 / as_time(clip.fps or fps)


def _end(clip: Clip, fps: int, until: Fraction) -> Fraction:
    """When the clip ends; or `until`, if it goes on till then."""
    source = clip.source
    if not isinstance(source, VideoFile):
        return len(source) * interval_at(clip, fps)
    if not source.header.is_webp:
        return end_of(source.content, clip.shown, source.header.clock, until)
    end = Fraction(0)
    for time, duration, _ in animation_frames(source.content, clip.shown):
        end = time + duration
        if time >= until:
            return until
    return end
