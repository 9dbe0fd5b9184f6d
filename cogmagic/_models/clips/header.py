"""The header of a video file: its size as shown, its rate, its length, its rotation."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogmagic._errors import RequestError
from cogmagic._models.clips.animation import animation_facts, animation_frames, is_webp
from cogmagic._models.clips.container import CONVERT, is_avi, opened, truncation_error
from cogmagic._models.clips.file_frames import Clock, Stamps, decoded

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

__all__ = ["Header", "VideoFile", "header_of"]


_MOST_PIXELS = 36_000_000
"""The most pixels of a frame: more than 8K (7680 × 4320)."""

_TRANSPOSES = {
    (-1, 0, 0, 1): 0, (1, 0, 0, -1): 1, (0, -1, 1, 0): 2, (-1, 0, 0, -1): 3,
    (0, 1, -1, 0): 4, (0, 1, 1, 0): 5, (0, -1, -1, 0): 6,
}  # fmt: skip
"""The ``PIL.Image.Transpose`` for the signs of a display matrix: x' = ax + cy, y' = bx + dy."""

_SWAPPING = frozenset({2, 4, 5, 6})
"""Those that swap width and height."""


@dataclass(frozen=True)
class Header:
    """Header of a video file."""

    clock: Clock
    size: tuple[int, int]
    """Width and height as players show them: in square pixels, upright."""
    seconds: float | None
    """The length in seconds that the file claims; None for unknown."""
    pixel_aspect: float = 1.0
    """Width of a pixel as a share of its height; not 1 in DV and DVDs."""
    transpose: int | None = None
    """The ``PIL.Image.Transpose`` that turns a frame upright."""
    is_webp: bool = False
    """Whether Pillow reads it, not PyAV."""


@dataclass(frozen=True)
class VideoFile:
    """A video or animation, on disk or in memory."""

    content: Path | bytes
    header: Header


def header_of(source: Path | bytes, shown: str) -> Header:
    """The header of a video file, of which two frames are decoded.

    Raises:
        RequestError: for a file that is no video, has fewer than two frames, no rate, or frames
            that are too large.
    """
    if is_webp(source):
        return _animation_header(source, shown)
    with opened(source, shown) as (container, stream):
        _check_pixels(stream.codec_context.width, stream.codec_context.height, shown)
        rate = stream.average_rate  # guessed_rate may be that of the ticks
        interval = 1 / Fraction(rate) if rate else Fraction(0)
        stamps: Stamps = "dts" if is_avi(container) else "pts"
        clock = Clock(Fraction(0), interval, stamps)
        frames = list(islice(decoded(container, stream, clock), 2))
        if len(frames) < 2:
            raise _too_few(source, shown, len(frames))
        gap = frames[1][0] - frames[0][0]
        if gap <= 0 or any(getattr(frame, stamps) is None for _, _, frame in frames):
            stamps = "none"
        interval = interval or gap
        if interval <= 0:
            raise RequestError(
                f"{shown} has 0 frames per second, and no time stamps. Say how many it has, such"
                " as 24: ffmpeg -r 24 -i IN -c:v libx264 OUT.mp4"
            )
        origin = Fraction(0) if stamps == "none" else frames[0][0]
        clock = Clock(origin, interval, stamps, bool(stream.codec_context.has_b_frames))
        return _header(stream, frames[0][2], clock, _seconds(container))


def _header(stream: VideoStream, frame: VideoFrame, clock: Clock, seconds: float | None) -> Header:
    aspect = float(stream.sample_aspect_ratio or 1)
    aspect = aspect if 0.1 < aspect < 10 else 1.0
    transpose = _transpose(frame)
    width, height = max(round(frame.width * aspect), 1), frame.height
    if transpose in _SWAPPING:
        width, height = height, width
    if stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
    return Header(clock, (width, height), seconds, aspect, transpose)


def _animation_header(source: Path | bytes, shown: str) -> Header:
    size, count = animation_facts(source, shown)
    _check_pixels(*size, shown)
    frames = list(islice(animation_frames(source, shown), 2))
    if len(frames) < 2:
        raise _too_few(source, shown, len(frames))
    interval = frames[0][1]
    clock = Clock(Fraction(0), interval)
    return Header(clock, size, float(interval * count), is_webp=True)


def _check_pixels(width: int, height: int, shown: str) -> None:
    if width * height > _MOST_PIXELS:
        raise RequestError(
            f"{shown} has frames of {width}×{height}, but at most 36 million pixels may be given."
            " Shrink it: ffmpeg -i IN -vf scale=1920:-2 OUT.mp4"
        )


def _too_few(source: Path | bytes, shown: str, count: int) -> RequestError:
    if error := truncation_error(source, shown):
        return error
    if count:
        return RequestError(
            f"{shown} has 1 frame: it is a picture, not a clip. For image-to-video: --image PATH."
        )
    return RequestError(f"{shown} has no frame that can be decoded. Copy it again. {CONVERT}")


def _transpose(frame: VideoFrame) -> int | None:
    """How the display matrix turns a frame, by the nearest right angle."""
    import numpy as np

    data: Any
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
            upright = abs(a) + abs(d) >= abs(b) + abs(c)
            signs = (a, 0, 0, d) if upright else (0, b, c, 0)
            return _TRANSPOSES.get(tuple((n > 0) - (n < 0) for n in signs))  # type: ignore[arg-type]
    return None


def _seconds(container: InputContainer) -> float | None:
    return container.duration / 1_000_000 if container.duration else None
