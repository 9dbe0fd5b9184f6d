"""Time stamps: which frames of a clip a request uses, and how many it has at another rate.

A time is in seconds since the clip's first frame. A frame is shown from its own time until the next
frame's, so rates that vary, pauses and dropped frames need no rule of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from math import ceil
from typing import TypeVar

__all__ = ["as_time", "count_at", "request_times", "sampled", "tolerance"]


_T = TypeVar("_T")


def as_time(seconds: float) -> Fraction:
    """Seconds as a fraction, to the microsecond."""
    return Fraction(seconds).limit_denominator(1_000_000)


def tolerance(interval: Fraction, fps: int) -> Fraction:
    """How far a time stamp may be off, in seconds, for a clip's usual interval.

    Matroska rounds times to 1 ms and GIF to 10 ms, so that of 30 frames per second every third is
    late, by up to 5 ms.
    """
    return min(Fraction(5, 1000), interval / 4, Fraction(1, 4 * fps))


def request_times(start: Fraction, fps: int, num_frames: int) -> list[Fraction]:
    """The times of a request's frames."""
    return [start + Fraction(n, fps) for n in range(num_frames)]


def count_at(end: Fraction, start: Fraction, fps: int, slack: Fraction) -> int:
    """How many frames at `fps` a clip that ends at `end` has from `start` on."""
    return max(ceil((end - slack - start) * fps), 0)


def sampled(
    frames: Iterable[tuple[Fraction, Fraction, _T]], times: Iterable[Fraction], slack: Fraction
) -> Iterator[_T]:
    """For each of the ascending `times`, the frame that is shown then; fewer if the clip ends.

    Args:
        frames: time, duration and frame, in the order of their times; one that goes back in time,
            as where two recordings were joined, is left out.
        times: those of the frames to return.
        slack: `tolerance` of the time stamps.
    """
    remaining = iter(times)
    time = next(remaining, None)
    current: list[_T] = []
    since = end = Fraction(0)
    for start, duration, frame in frames:
        if current and start < since:
            continue
        while time is not None and current and time + slack < start:
            yield current[0]
            time = next(remaining, None)
        if time is None:
            return
        current, since, end = [frame], start, start + duration
    while time is not None and current and time < end - slack:
        yield current[0]
        time = next(remaining, None)
