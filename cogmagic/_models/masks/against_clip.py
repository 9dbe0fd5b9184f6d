"""A mask against the clip that it is for: proportions, length and rate. Decodes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from cogmagic._errors import RequestError
from cogmagic._models.clips.clip import Clip
from cogmagic._models.clips.lengths import check_start, frame_count, frames_at, interval_at
from cogmagic._models.clips.times import request_times
from cogmagic._models.masks.mask import Mask

__all__ = ["Excerpt", "MaskTimes", "check_mask", "times_of"]


_ASPECT = 0.02
"""By how much the proportions of a mask and its clip may differ: a side rounded to even pixels."""


@dataclass(frozen=True)
class Excerpt:
    """The frames of a clip that a request takes."""

    clip: Clip
    start: float
    """The second of the clip at which they start."""
    fps: int
    num_frames: int
    legal: Sequence[int] = ()
    """The numbers of frames that the request's model can make."""


@dataclass(frozen=True)
class MaskTimes:
    """When a moving mask's frames are taken."""

    clip: Clip
    """The mask's frames, at the rate at which they count."""
    times: list[Fraction]
    """In seconds of the mask, one for each frame of the request."""
    fps: int
    """How many of them are in a second, rounded."""


def check_mask(mask: Mask, excerpt: Excerpt) -> None:
    """Refuse a mask of other proportions, or of another length, than its clip.

    Args:
        mask: the mask.
        excerpt: what the request takes of the clip.

    Raises:
        RequestError: with the numbers of both.
    """
    clip = excerpt.clip
    (width, height), (clip_width, clip_height) = mask.size, clip.size
    if abs(width * clip_height / (height * clip_width) - 1) > _ASPECT:
        near = round(width * clip_height / clip_width)
        raise RequestError(
            f"{mask.shown} is {width}x{height}, but {_inside(clip)} is {clip_width}x{clip_height}:"
            f" a mask must have its clip's proportions. Nearest: {width}x{near}."
        )
    if mask.clip is not None:
        times_of(mask.clip, excerpt)


def times_of(own: Clip, excerpt: Excerpt) -> MaskTimes:
    """When the frames of a moving mask are taken: see `check_mask`.

    Args:
        own: the mask's frames.
        excerpt: what the request takes of the clip.

    Raises:
        RequestError: for another length.
    """
    clip, fps, count = excerpt.clip, excerpt.fps, excerpt.num_frames
    if own.fps is None or clip.fps is None:
        return _by_number(own, excerpt)
    tolerance = 1.5 * max(float(interval_at(own, fps)), float(interval_at(clip, fps)), 1 / fps)
    lengths = own.seconds, clip.seconds
    if all(lengths) and abs(lengths[0] - lengths[1]) > tolerance:  # type: ignore[operator]
        if _same_count(own, clip):  # written at another rate
            return _one_for_one(own, excerpt)
        raise RequestError(
            f"{own.shown} lasts {lengths[0]:.2f} s, but {_inside(clip)} lasts {lengths[1]:.2f} s: a"
            " moving mask must be as long as its clip. Give one of the same length, or one picture"
            " for all frames."
        )
    has = frames_at(own, start=excerpt.start, fps=fps, most=count)
    if has < count - 1:  # a file that ends a frame early is no other clip
        fewer = max((n for n in excerpt.legal if n <= has + 1), default=None)
        raise RequestError(
            f"{own.shown} has only {has} of the {count} frames that are used of {_inside(clip)}."
            " Give one of the same length" + (f", or --num-frames {fewer}." if fewer else ".")
        )
    return MaskTimes(own, request_times(check_start(excerpt.start), fps, count), fps)


def _by_number(own: Clip, excerpt: Excerpt) -> MaskTimes:
    """The times where mask or clip has no rate: it has as many frames as the clip, or the request.

    Raises:
        RequestError: for another number.
    """
    clip, fps = excerpt.clip, excerpt.fps
    if _same_count(own, clip):
        return _one_for_one(own, excerpt)
    count, interval = frame_count(own), interval_at(own, fps)
    if count == excerpt.num_frames:
        return MaskTimes(own, [n * interval for n in range(count)], max(round(1 / interval), 1))
    has = _count(clip)
    of_clip = f"{has} frames" if has is not None else "frames of its own rate"
    raise RequestError(
        f"{own.shown} has {count} frames, but {_inside(clip)} has {of_clip}, of which"
        f" {excerpt.num_frames} are used at {fps} fps. Give a mask of 1 frame for all, or of"
        f" {has or excerpt.num_frames} frames."
    )


def _one_for_one(own: Clip, excerpt: Excerpt) -> MaskTimes:
    """The times where frames of the same number belong together, whatever the rates."""
    clip, fps = excerpt.clip, excerpt.fps
    if own.fps is None and clip.fps:
        own = replace(own, fps=clip.fps, seconds=clip.seconds)
    slower = interval_at(own, fps) / interval_at(clip, fps)
    times = request_times(check_start(excerpt.start), fps, excerpt.num_frames)
    return MaskTimes(own, [time * slower for time in times], max(round(fps / slower), 1))


def _count(clip: Clip) -> int | None:
    """How many frames a clip has; by its header, where it is a file."""
    if clip.frames is not None or not (clip.fps and clip.seconds):
        return clip.frames
    return round(clip.fps * clip.seconds)


def _same_count(own: Clip, clip: Clip) -> bool:
    has = _count(clip)
    return has is not None and abs(frame_count(own) - has) <= (clip.frames is None)


def _inside(clip: Clip) -> str:
    """The clip's name within a sentence: frames without a path are `The clip` at its beginning."""
    return clip.shown[0].lower() + clip.shown[1:] if clip.shown.startswith("The ") else clip.shown
