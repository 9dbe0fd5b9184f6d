"""The pictures of a folder or of a list of paths, as the frames of a clip."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cogmagic._errors import RequestError
from cogmagic._models.input_files import check_file, existing_path

__all__ = ["names_video", "pictures_at", "pictures_in"]


_PICTURES = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"))
"""Suffixes of the frames in a folder."""

_VIDEOS = frozenset((".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg"))
"""Suffixes of what a folder or a list may have instead."""


def names_video(path: str | os.PathLike[Any]) -> bool:
    """Whether a path has the suffix of a video."""
    return Path(os.fsdecode(path)).suffix.lower() in _VIDEOS


def pictures_in(folder: Path, shown: str) -> tuple[Path, ...]:
    """The pictures of a folder, in the order of the numbers in their names."""
    try:
        files = [file for file in folder.iterdir() if not file.name.startswith(".")]
    except OSError as error:
        raise RequestError(
            f"{shown} cannot be read ({error.strerror}). Check its permissions."
        ) from None
    pictures = [file for file in files if file.suffix.lower() in _PICTURES]
    videos = [file for file in files if file.suffix.lower() in _VIDEOS]
    if videos and len(videos) >= len(pictures):  # as of a batch, whose pictures are contact sheets
        raise RequestError(f"{shown} is a folder of videos. Name one, such as {min(videos)}.")
    if not pictures:
        raise RequestError(f"{shown} is a folder without pictures. Name a video.")
    return tuple(sorted(pictures, key=_by_number))


def pictures_at(paths: Sequence[str | os.PathLike[Any]]) -> tuple[Path, ...]:
    """The pictures that a list of paths names, none of which is read."""
    files = []
    for number, given in enumerate(paths, 1):
        try:
            file, shown = existing_path(given, "image")
            check_file(file, shown, "an image")
        except RequestError as error:
            raise RequestError(f"Frame {number}: {error}") from None
        files.append(file)
    return tuple(files)


def _by_number(file: Path) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", file.stem)
    return [(int(p), "") if p.isdecimal() else (-1, p) for p in parts]
