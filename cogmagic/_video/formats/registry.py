"""The formats by suffix, and the suffix of a path that is to be written."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from cogmagic._errors import OutputError
from cogmagic._video.formats.base import Format, readable
from cogmagic._video.formats.gif import GIF
from cogmagic._video.formats.mp4 import MP4
from cogmagic._video.formats.png import PNG
from cogmagic._video.formats.webm import WEBM

__all__ = ["FORMATS", "complete_suffix", "format_of", "names_file", "read_metadata", "suffixes"]


FORMATS: dict[str, Format] = {f.suffix: f for f in (MP4, GIF, WEBM, PNG)}


def suffixes() -> str:
    """The suffixes in a sentence: ``.mp4, .gif, .webm or .png``."""
    *most, last = FORMATS
    return f"{', '.join(most)} or {last}"


def format_of(path: Path, typed: str) -> Format:
    """The format of a path by its suffix, in any case.

    Raises:
        OutputError: for any other suffix, with the nearest one.
    """
    suffix = path.suffix.lower()
    if suffix in FORMATS:
        return FORMATS[suffix]
    relatives = [f.suffix for f in FORMATS.values() if suffix in f.similar]
    near = [*relatives, *get_close_matches(suffix, FORMATS, n=1, cutoff=0.5), MP4.suffix][0]
    nearest = typed.removesuffix(path.suffix)[:100] + near
    advice = f"Did you mean {nearest!r}?" if suffix else f"Type {nearest!r}, or make that folder."
    raise OutputError(
        f"--save {typed}: the file must end in {suffixes()} (frames), or be a folder. {advice}"
    )


def names_file(save: object) -> bool:
    """Whether a path means one file: it ends as videos do, here or elsewhere, and is no folder."""
    if not isinstance(save, str | Path) or str(save).endswith(("/", os.sep)):
        return False
    suffix = Path(save).suffix.lower()
    video = any(suffix == f.suffix or suffix in f.similar for f in FORMATS.values())
    return video and not os.path.isdir(os.path.expanduser(save))  # noqa: PTH111, PTH112 - ~nobody


def complete_suffix(typed: str) -> tuple[str, ...] | None:
    """A file's name with each suffix that may end it; None before its dot, as in folders."""
    name, dot, end = typed.rpartition(".")
    if not name.strip("./") or name.endswith("/") or "/" in end:
        return None
    return tuple(name + s for s in FORMATS if s.startswith(dot + end.lower())) or None


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata of a file or folder of frames that cogmagic has written.

    Raises:
        OutputError: for any other file.
    """
    with readable(path):
        return (PNG if path.is_dir() else FORMATS[path.suffix.lower()]).metadata(path)
