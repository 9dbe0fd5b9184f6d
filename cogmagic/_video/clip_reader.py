"""The frames of a user's clip as a request needs them: at its rate, its length and its size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any

from cogmagic._errors import RequestError
from cogmagic._models.clips.animation import animation_frames
from cogmagic._models.clips.clip import Clip, check_unchanged, clip_of
from cogmagic._models.clips.container import truncation_error
from cogmagic._models.clips.file_frames import frames_from
from cogmagic._models.clips.header import VideoFile
from cogmagic._models.clips.lengths import check_start, interval_at, too_short
from cogmagic._models.clips.times import request_times, sampled, tolerance
from cogmagic._models.fitting import Fit, fitted
from cogmagic._models.pictures.picture import as_picture
from cogmagic._models.request import Request
from cogmagic._video.clip_colours import Upright, deinterlaced

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

__all__ = ["Clip", "clip_of", "frames_at_times", "read_frames", "truncation", "with_frames_read"]


_Picture = Callable[[], "Image.Image"]
"""Converts a frame to 8-bit RGB, once it is known that it is used."""

_Timed = tuple[Fraction, Fraction, _Picture]
"""A picture after its time since the first frame and its duration, in seconds."""


def with_frames_read(
    request: Request, check: Callable[[], None]
) -> tuple[Request, np.ndarray[Any, Any] | None]:
    """A request without the content of its video, and the frames of it that the run takes.

    The content may be large; the request is sent to workers and stays with the plan.

    Args:
        request: with a video to begin from, or without one: then there are no frames.
        check: called for each decoded frame; may raise to stop.

    Raises:
        RequestError: as `read_frames` does.
    """
    if request.video is None:
        return request, None
    frames = read_frames(
        request.video,
        start=request.start,
        fps=request.fps,
        num_frames=request.num_frames,
        size=(request.width, request.height),
        fit=request.fit,
        legal=request.model.frames.legal(),
        check=check,
    )
    video = request.video.without_frames()
    return replace(request, inputs={**request.inputs, "video": video}), frames


def read_frames(
    clip: Clip,
    *,
    start: float,
    fps: int,
    num_frames: int,
    size: tuple[int, int],
    fit: Fit,
    legal: Sequence[int] = (),
    check: Callable[[], None] = lambda: None,
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
        check: called for each decoded frame; may raise to stop.

    Raises:
        RequestError: for a clip that is too short, damaged, or has changed since it was checked.
    """
    import numpy as np

    count, result = 0, np.empty((num_frames, size[1], size[0], 3), np.uint8)
    times = request_times(check_start(start), fps, num_frames)
    for count, frame in enumerate(frames_at_times(clip, times, fps, size, fit, check), 1):
        result[count - 1] = frame
    if count < num_frames:
        raise truncation(clip) or too_short(
            clip, count, start=start, fps=fps, num_frames=num_frames, legal=legal
        )
    return result


def frames_at_times(
    clip: Clip,
    times: Sequence[Fraction],
    fps: int,
    size: tuple[int, int],
    fit: Fit,
    check: Callable[[], None] = lambda: None,
    *,
    by_area: bool = False,
) -> Iterator[np.ndarray[Any, Any]]:
    """The frames that a clip shows at some times: uint8 RGB, height × width × 3 each.

    Fewer where the clip ends before. A few frames are in memory at a time.

    Args:
        clip: what `clip_of` has returned.
        times: in seconds since the clip's first frame, ascending.
        fps: how many of them are in a second.
        size: width and height of the result.
        fit: how frames of another aspect are fitted.
        check: called for each decoded frame; may raise to stop.
        by_area: whether they are resized as masks are: see `fitted`.

    Raises:
        RequestError: for a clip that is damaged or has changed since it was checked.
    """
    import numpy as np

    check_unchanged(clip)
    interval = interval_at(clip, fps)
    last, frame = None, np.empty(0, np.uint8)
    pictures = _checked(_pictures(clip, times[0], interval), check)
    for picture in sampled(pictures, times, tolerance(interval, fps)):
        if picture is not last:  # else it is shown for longer than a frame of the result
            frame = np.asarray(fitted(picture(), size, fit, by_area=by_area))
        last = picture
        yield frame


def truncation(clip: Clip) -> RequestError | None:
    """The error of a clip whose file ends too soon; None for another."""
    if not isinstance(clip.source, VideoFile):
        return None
    return truncation_error(clip.source.content, clip.shown)


def _checked(pictures: Iterator[_Timed], check: Callable[[], None]) -> Iterator[_Timed]:
    """The same pictures, with a call of `check` before each."""
    for picture in pictures:
        check()
        yield picture


def _pictures(clip: Clip, start: Fraction, interval: Fraction) -> Iterator[_Timed]:
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
