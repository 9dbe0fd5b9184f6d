"""Animated WebP, read by Pillow: FFmpeg's demuxer does not read it."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogmagic._errors import RequestError, first_line

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["animation_facts", "animation_frames", "is_webp"]


_DEFAULT_MS = 100
"""Milliseconds of a frame whose duration is 0."""


def is_webp(source: Path | bytes) -> bool:
    """Whether a file starts as WebP does."""
    if isinstance(source, bytes):
        head = source[:12]
    else:
        with source.open("rb") as file:
            head = file.read(12)
    return head[:4] == b"RIFF" and head[8:] == b"WEBP"


def animation_facts(source: Path | bytes, shown: str) -> tuple[tuple[int, int], int]:
    """Size and number of frames.

    Raises:
        RequestError: for a file that Pillow cannot read.
    """
    from PIL import Image

    try:
        with Image.open(_opened(source)) as image:
            return image.size, getattr(image, "n_frames", 1)
    except Exception as error:  # of many types
        raise _unreadable(shown, error) from None


def animation_frames(
    source: Path | bytes, shown: str
) -> Iterator[tuple[Fraction, Fraction, Image.Image]]:
    """Time, duration (both in seconds) and picture of each frame.

    A frame without a duration is shown for 0.1 s, as in browsers.

    Raises:
        RequestError: for a damaged file.
    """
    from PIL import Image

    try:
        with Image.open(_opened(source)) as image:
            time = Fraction(0)
            for number in range(getattr(image, "n_frames", 1)):
                image.seek(number)
                image.load()
                duration = Fraction(int(image.info["duration"]) or _DEFAULT_MS, 1000)
                yield time, duration, image.copy()
                time += duration
    except Exception as error:  # of many types
        raise _unreadable(shown, error) from None


def _opened(source: Path | bytes) -> Any:
    return BytesIO(source) if isinstance(source, bytes) else source


def _unreadable(shown: str, error: Exception) -> RequestError:
    return RequestError(f"{shown} cannot be read ({first_line(error)}). Copy it again.")
