"""A mask over its clip: the colours of the canvas, and the preview as a small video."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING, Any

from cogmagic._models.masks.levels import AFFECTED, REMOVED
from cogmagic._notebook.masks.drawing import Drawing
from cogmagic._notebook.masks.frames import ClipFrames
from cogmagic._notebook.masks.raster import raster
from cogmagic._video.formats.base import Streamed
from cogmagic._video.formats.mp4 import MP4

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

__all__ = ["COLOURS", "film", "film_frames", "overlay"]


COLOURS = {REMOVED: (255, 0, 190), AFFECTED: (0, 150, 255)}
"""Magenta and blue, which the usual kinds of colour blindness do not mix up."""

_ALPHA = 140
"""Opacity of the mask, of 255."""

_FILM = 480, 320
"""Most pixels of the preview."""

_FILM_FRAMES = 240
"""Most frames of the preview."""


def overlay(frames: ClipFrames, drawing: Drawing, number: int) -> bytes:
    """The mask of a frame as a PNG to lay over `ClipFrames.jpeg`."""
    from PIL import Image

    if frames.zoom > 1:  # with the pixels that the file will have
        values = raster(drawing, number, frames.clip.size)
        values = values.repeat(int(frames.zoom), axis=0).repeat(int(frames.zoom), axis=1)
    else:
        values = raster(drawing, number, frames.shown_size, frames.zoom)
    image = Image.fromarray(values)  # by palette
    palette = bytearray(768)
    transparency = bytearray(256)
    for level, colour in COLOURS.items():
        palette[3 * level : 3 * level + 3] = bytes(colour)
        transparency[level] = _ALPHA
    image.putpalette(palette)
    out = BytesIO()
    image.save(out, "PNG", transparency=bytes(transparency), compress_level=1)
    return out.getvalue()


def film_frames(frames: ClipFrames, first: int) -> range:
    """The frames of a preview: as many as it may have, from `first` on if that leaves enough."""
    count = min(frames.count, _FILM_FRAMES)
    start = max(min(first, frames.count - count), 0)
    return range(start, start + count)


def film(frames: ClipFrames, drawing: Drawing, numbers: range) -> bytes:
    """Some of the clip's frames under the mask, small, as an MP4 at the clip's rate.

    Raises:
        RequestError: for a clip that is damaged, or has changed since it was opened.
        OutputError: without an encoder.
    """
    zoom = min(1.0, _FILM[0] / frames.clip.width, _FILM[1] / frames.clip.height)
    width, height = (max(n // 2 * 2, 2) for n in frames.size_at(zoom))

    def begin() -> Iterator[Array]:
        pictures = frames.read(numbers, (width, height))
        for number, picture in zip(numbers, pictures, strict=False):
            yield _under(picture, raster(drawing, number, (width, height), zoom))

    out = BytesIO()
    MP4.check(1)
    streamed = Streamed((len(numbers), height, width, 3), begin)
    MP4.write(out, streamed, max(round(1 / frames.interval), 1), {})
    return out.getvalue()


def _under(picture: Array, values: Array) -> Array:
    """A frame with the mask's colours over it."""
    import numpy as np

    result = picture.copy()
    for level, colour in COLOURS.items():
        at = values == level
        mixed = (
            picture[at].astype(np.uint16) * (255 - _ALPHA) + np.array(colour, np.uint16) * _ALPHA
        )
        result[at] = (mixed // 255).astype(np.uint8)
    return result
