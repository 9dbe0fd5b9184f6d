"""The frames of a clip as the canvas shows them: small JPEGs, a few at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING, Any

from cogmagic._errors import RequestError
from cogmagic._models.clips.clip import Clip
from cogmagic._models.clips.lengths import frame_count, interval_at
from cogmagic._video.clip_reader import frames_at_times

if TYPE_CHECKING:
    import numpy as np

__all__ = ["ClipFrames"]


_SHOWN = 960, 640
"""Most pixels of the canvas, width and height."""

_LEAST = 480, 480
"""Pixels up to which a small clip is enlarged, a whole number of times."""

_AT_ONCE = 8
"""Frames that are decoded together, as each begins at the key frame before it."""

_KEPT = 64
"""JPEGs that stay in memory."""

_UNTIMED_FPS = 8
"""Frames per second of a clip without a rate, such as an array."""

_MOST_FRAMES = 200_000
"""Frames of the longest mask: an hour and 51 minutes at 30 per second."""


class ClipFrames:
    """A clip's frames by number, at its own usual rate.

    Args:
        clip: what `clip_of` has returned.

    Raises:
        RequestError: for a clip that is too long.
    """

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        self.interval = interval_at(clip, _UNTIMED_FPS)
        self.count = frame_count(clip)
        if self.count > _MOST_FRAMES:
            raise RequestError(
                f"{clip.shown} has {self.count} frames, but a mask may have {_MOST_FRAMES}. Cut it:"
                " ffmpeg -ss START -t SECONDS -i IN -c copy OUT.mp4"
            )
        self.zoom = _zoom(clip.size)
        """Pixels of the canvas for one of the clip."""
        self.shown_size = self.size_at(self.zoom)
        self._kept: OrderedDict[int, bytes] = OrderedDict()

    def size_at(self, zoom: float) -> tuple[int, int]:
        """Width and height of a frame with `zoom` pixels for one of the clip."""
        return max(round(self.clip.width * zoom), 1), max(round(self.clip.height * zoom), 1)

    def jpeg(self, number: int) -> bytes:
        """A frame as the canvas shows it.

        Raises:
            RequestError: for a clip that is damaged, or has changed since it was opened.
        """
        if number not in self._kept:
            first = number - number % _AT_ONCE
            numbers = range(first, min(first + _AT_ONCE, self.count))
            for n, frame in zip(numbers, self.read(numbers, self.shown_size), strict=False):
                self._kept[n] = _as_jpeg(frame)
        if number not in self._kept:  # the file's index claims more frames than it has
            raise RequestError(f"{self.clip.shown}: frame {number} cannot be decoded.")
        self._kept.move_to_end(number)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return self._kept[number]

    def read(self, numbers: range, size: tuple[int, int]) -> Iterator[np.ndarray[Any, Any]]:
        """Those frames in uint8 RGB, height × width × 3; fewer where the clip ends before."""
        rate = max(round(1 / self.interval), 1)
        times = [number * self.interval for number in numbers]
        smaller = size[0] < self.clip.width  # of 4K frames, by area takes a quarter of the time
        return frames_at_times(self.clip, times, rate, size, "stretch", by_area=smaller)


def _zoom(size: tuple[int, int]) -> float:
    smaller = min(_SHOWN[0] / size[0], _SHOWN[1] / size[1])
    larger = min(_LEAST[0] // size[0], _LEAST[1] // size[1])
    return smaller if smaller < 1 else float(max(larger, 1))


def _as_jpeg(frame: np.ndarray[Any, Any]) -> bytes:
    from PIL import Image

    out = BytesIO()
    Image.fromarray(frame).save(out, "JPEG", quality=85)
    return out.getvalue()
