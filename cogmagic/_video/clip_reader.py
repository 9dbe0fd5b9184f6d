"""The frames of a user's clip as a request needs them: at its rate, its length and its size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogmagic._errors import RequestError
from cogmagic._models.clips.animation import animation_frames
from cogmagic._models.clips.clip import Clip, clip_of, file_stamp
from cogmagic._models.clips.container import cut_off
from cogmagic._models.clips.file_frames import frames_from
from cogmagic._models.clips.header import VideoFile
from cogmagic._models.clips.lengths import check_start, interval_at, too_short
from cogmagic._models.clips.times import sampled, tolerance, wanted_times
from cogmagic._models.fitting import Fit, fitted
from cogmagic._models.pictures import as_picture
from cogmagic._video.clip_colours import Upright, deinterlaced

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

__all__ = ["Clip", "clip_of", "read_frames"]


_Picture = Callable[[], "Image.Image"]
"""Converts a frame to 8-bit RGB, once it is known that it is used."""


def read_frames(
    clip: Clip,
    *,
    start: float,
    fps: int,
    num_frames: int,
    size: tuple[int, int],
    fit: Fit,
    legal: Sequence[int] = (),
) -> np.ndarray[Any, Any]:
    """Frames of a clip: uint8 RGB, frames × height × width × 3.

    Each is the one that the clip shows at that time. Only the frames from the key frame before
    `start` on are decoded, one after the other; besides the result, a few are in memory at a time.

    Args:
        clip: what `clip_of` has returned.
        start: the second of the clip at which the first frame is taken.
        fps: frames per second of the result.
        num_frames: how many to read.
        size: width and height of the result.
        fit: how frames of another aspect are fitted.
        legal: the numbers of frames that the model can make, for the error.

    Raises:
        RequestError: for a clip that is too short, damaged, or has changed since it was checked.
    """
    import numpy as np

    _check_unchanged(clip)
    first = check_start(start)
    interval = interval_at(clip, fps)
    slack = tolerance(interval, fps)
    result = np.empty((num_frames, size[1], size[0], 3), np.uint8)
    count, last = 0, None
    times = wanted_times(first, fps, num_frames)
    for count, picture in enumerate(sampled(_pictures(clip, first, interval), times, slack), 1):
        if picture is last:  # shown for longer than a frame of the result
            result[count - 1] = result[count - 2]
        else:
            result[count - 1] = np.asarray(fitted(picture(), size, fit))
        last = picture
    if count < num_frames:
        file = clip.source.content if isinstance(clip.source, VideoFile) else None
        raise (file is not None and cut_off(file, clip.shown)) or too_short(
            clip, count, start=start, fps=fps, num_frames=num_frames, legal=legal
        )
    return result


def _check_unchanged(clip: Clip) -> None:
    content = clip.source.content if isinstance(clip.source, VideoFile) else clip.source
    paths = (content,) if isinstance(content, Path) else content
    if not isinstance(paths, tuple):  # in memory
        return
    try:
        changed = file_stamp(*paths) != clip.stamp
    except OSError:
        raise RequestError(f"{clip.shown} has been removed. Pass another clip.") from None
    if changed:
        raise RequestError(f"{clip.shown} has changed since it was checked. Run this again.")


def _pictures(
    clip: Clip, start: Fraction, interval: Fraction
) -> Iterator[tuple[Fraction, Fraction, _Picture]]:
    """Time, duration and picture of each frame, at least from `start` on."""
    source = clip.source
    if not isinstance(source, VideoFile):
        for number in range(int(start / interval), len(source)):
            yield number * interval, interval, partial(_of_sequence, source, number)
    elif source.header.is_webp:
        for time, duration, image in animation_frames(source.content, clip.shown):
            yield time, duration, partial(as_picture, image)
    else:
        upright = Upright(source.header)
        frames = frames_from(source.content, clip.shown, source.header.clock, start)
        for time, duration, frame in deinterlaced(frames):
            yield time, duration, partial(upright.picture, frame)


def _of_sequence(source: Any, number: int) -> Image.Image:
    from PIL import Image

    if isinstance(source, tuple):
        return as_picture(source[number])
    return Image.fromarray(source[number])
