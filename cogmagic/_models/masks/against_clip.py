"""A mask against the clip that it is for: proportions, length and rate. Decodes nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cogmagic._errors import RequestError
from cogmagic._models.clips.clip import Clip
from cogmagic._models.clips.lengths import frames_at, interval_at
from cogmagic._models.masks.mask import Mask

__all__ = ["MaskTimes", "check_mask", "times_of"]


_ASPECT = 0.02
"""By how much the proportions of a mask and its clip may differ: a side rounded to even pixels."""


@dataclass(frozen=True)
class MaskTimes:
    """When a moving mask's frames are taken."""

    clip: Clip
    """The mask's frames, at the rate at which they count."""
    start: float
    """The second of the mask at which its first frame is taken."""


def check_mask(mask: Mask, clip: Clip, *, start: float, fps: int, num_frames: int) -> None:
    """Refuse a mask of other proportions, or of another length, than its clip.

    Args:
        mask: the mask.
        clip: the video that it is for.
        start: the second of the clip at which the request starts.
        fps: frames per second of the request.
        num_frames: frames of the request.

    Raises:
        RequestError: with the numbers of both.
    """
    (width, height), (clip_width, clip_height) = mask.size, clip.size
    if abs(width * clip_height / (height * clip_width) - 1) > _ASPECT:
        near = round(width * clip_height / clip_width)
        raise RequestError(
            f"{mask.shown} is {width}x{height}, but {_inside(clip)} is {clip_width}x{clip_height}:"
            f" a mask has its clip's proportions. Nearest: {width}x{near}."
        )
    if mask.clip is not None:
        times_of(mask.clip, clip, start=start, fps=fps, num_frames=num_frames)


def times_of(own: Clip, clip: Clip, *, start: float, fps: int, num_frames: int) -> MaskTimes:
    """When the frames of a moving mask are taken: see `check_mask`.

    Args:
        own: the mask's frames.
        clip: the video that it is for.
        start: the second of the clip at which the request starts.
        fps: frames per second of the request.
        num_frames: frames of the request.

    Raises:
        RequestError: for another length.
    """
    if own.fps is None:
        return _counted(own, clip, start=start, fps=fps, num_frames=num_frames)
    tolerance = 1.5 * max(float(interval_at(own, fps)), float(interval_at(clip, fps)), 1 / fps)
    lengths = own.seconds, clip.seconds
    if all(lengths) and abs(lengths[0] - lengths[1]) > tolerance:  # type: ignore[operator]
        raise RequestError(
            f"{own.shown} lasts {lengths[0]:.2f} s, but {_inside(clip)} lasts {lengths[1]:.2f} s: a"
            " mask has a frame for each of its clip's. Give one of the same length, or one picture"
            " for all frames."
        )
    has = frames_at(own, start=start, fps=fps, most=num_frames)
    if has < num_frames - 1:  # a file that ends a frame early is no other clip
        raise RequestError(
            f"{own.shown} has only {has} of the {num_frames} frames that are used of"
            f" {_inside(clip)}. Give one of the same length, or --num-frames {has}."
        )
    return MaskTimes(own, start)


def _counted(own: Clip, clip: Clip, *, start: float, fps: int, num_frames: int) -> MaskTimes:
    """The times of frames without a rate: those of the clip, or of the request, by their number."""
    count, has = own.frames or 0, clip.frames
    if has is None and clip.fps and clip.seconds:
        has = round(clip.fps * clip.seconds)
    if has is not None and abs(count - has) <= (clip.frames is None):
        seconds = count / clip.fps if clip.fps else None
        return MaskTimes(replace(own, fps=clip.fps, seconds=seconds), start)
    if count == num_frames:
        return MaskTimes(own, 0.0)
    of_clip = f"{has} frames" if has is not None else "frames of its own rate"
    raise RequestError(
        f"{own.shown} has {count} frames, but {_inside(clip)} has {of_clip}, of which {num_frames}"
        f" are used at {fps} fps. Give a mask of 1 frame for all, or of {has or num_frames} frames."
    )


def _inside(clip: Clip) -> str:
    """The clip's name within a sentence: frames without a path are `The clip` at its beginning."""
    return clip.shown[0].lower() + clip.shown[1:] if clip.shown.startswith("The ") else clip.shown
