"""Small pictures of videos: for a gallery, and for the contact sheets of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from math import ceil, sqrt
from pathlib import Path
from typing import TYPE_CHECKING

from cogmagic._errors import OutputError
from cogmagic._files import write_atomically
from cogmagic._video.formats.registry import FORMATS
from cogmagic._video.video import Video

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["PER_PAGE", "poster", "sheet_paths", "write_sheet"]

PER_PAGE = 100
"""Most videos of one contact sheet."""

_WIDTH, _LABEL, _GAP = 192, 16, 4
"""Pixels: a poster's width, the height of the line below it, and the space around both."""


def poster(video: Video, width: int = _WIDTH) -> Image.Image:
    """The middle frame of a video's file, or folder of frames, `width` pixels wide.

    Raises:
        OutputError: when the file is missing or damaged.
    """
    from PIL import Image

    picture = Image.fromarray(FORMATS[f".{video.format}"].middle(video.path, video.num_frames))
    height = max(round(width * picture.height / picture.width), 1)
    return picture.resize((width, height))


def sheet_paths(folder: Path, rows: int) -> tuple[Path, ...]:
    """The files of a batch's contact sheets, a page for each hundred rows."""
    pages = ceil(rows / PER_PAGE)
    if pages == 1:
        return (folder / "contact-sheet.png",)
    digits = len(str(pages))
    return tuple(folder / f"contact-sheet-{n:0{digits}}.png" for n in range(1, pages + 1))


def write_sheet(path: Path, entries: Sequence[tuple[str, Video | None]]) -> None:
    """Write one contact sheet as PNG: a poster and a line of text for each entry, in order.

    Args:
        path: the file, replaced if it exists.
        entries: the text, in ASCII, and the video; None for a row without one.

    Raises:
        OSError: when it cannot be written.
    """
    from PIL import Image, ImageDraw

    pictures = [_poster_or_none(video) for _, video in entries]
    columns = min(ceil(sqrt(len(entries))), 10)
    height = max((p.height for p in pictures if p), default=_WIDTH) + _LABEL
    step = _WIDTH + _GAP, height + _GAP
    size = columns * step[0] + _GAP, ceil(len(entries) / columns) * step[1] + _GAP
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for n, ((text, _), picture) in enumerate(zip(entries, pictures, strict=True)):
        x, y = n % columns * step[0] + _GAP, n // columns * step[1] + _GAP
        if picture is None:
            draw.rectangle((x, y, x + _WIDTH - 1, y + height - _LABEL - 1), "lightgrey")
        else:
            sheet.paste(picture, (x, y))
        draw.text((x, y + height - _LABEL + 2), text[:32], "black")
    data = BytesIO()
    sheet.save(data, "PNG")
    write_atomically(path, data.getvalue())


def _poster_or_none(video: Video | None) -> Image.Image | None:
    try:
        return poster(video) if video is not None else None
    except OutputError:
        return None
