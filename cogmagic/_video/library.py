"""The library: the clips of a folder, with how they were made, from the files' own metadata."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any

from cogmagic._errors import OutputError
from cogmagic._video.formats.png import PNG, is_folder_of_frames
from cogmagic._video.formats.registry import FORMATS
from cogmagic._video.report import Report
from cogmagic._video.video import Video

__all__ = ["StoredClip", "clips_in", "delete_clip", "stored_clip"]


_FIRST_FRAMES = ("0001.png", "00001.png", "000001.png")
"""The first file of a folder of frames, by the number of its digits."""


@dataclass(frozen=True)
class StoredClip:
    """A clip on the disk: its file or folder of frames, and the metadata in it."""

    path: Path
    modified: float
    """Seconds since the epoch."""
    size: int
    """Bytes of the file; of a folder of frames, those of its directory."""
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The file's metadata; empty where `error` says why."""
    error: str = ""
    """Why the file cannot be read; empty for a readable one."""

    @property
    def prompt(self) -> str:
        """The prompt; empty for a file that cannot be read."""
        return str(self.facts.get("prompt", ""))

    def video(self) -> Video:
        """The clip as the run that made it has returned it.

        Raises:
            OutputError: when the file cannot be read.
        """
        if self.error:
            raise OutputError(f"{self.path} cannot be read ({self.error}).")
        return _video(self.path, self.facts)


def clips_in(folder: Path) -> Iterator[StoredClip]:
    """The clips of a folder that cogmagic has made, the newest first.

    Only headers are read, one file at each step of the iteration. Files that other programs have
    made, hidden files (such as those of runs in progress) and special files are left out; damaged
    ones and those that this user may not read have an `error`. A link stands for its file.

    Raises:
        OutputError: when the folder cannot be read.
    """
    for path in _newest(folder.absolute()):
        clip = stored_clip(path)
        if clip is not None:
            yield clip


def stored_clip(path: Path) -> StoredClip | None:
    """The clip of a path; None for a file that is gone, or that another program has made."""
    try:
        status = path.stat()
    except OSError:
        return None
    clip = StoredClip(path, status.st_mtime, status.st_size)
    kind = PNG if S_ISDIR(status.st_mode) else FORMATS[path.suffix.lower()]
    try:
        facts = kind.metadata(path)
        _video(path, facts)  # another program's JSON has other fields
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError, LookupError, TypeError):
        return None
    except Exception as error:  # of many types
        denied = isinstance(error, PermissionError)
        return replace(clip, error="no permission" if denied else "damaged or unfinished")
    return replace(clip, facts=facts)


def delete_clip(clip: StoredClip) -> None:
    """Delete a clip's file or folder of frames; of a link, the link alone.

    Raises:
        OutputError: when it has changed since it was listed, has other files than frames, or
            cannot be deleted.
    """
    try:
        status = clip.path.stat()
        if (status.st_mtime, status.st_size) != (clip.modified, clip.size):
            raise OutputError(f"{clip.path} has changed since it was listed. Refresh the list.")
        if clip.path.is_symlink() or not clip.path.is_dir():
            clip.path.unlink()
        elif is_folder_of_frames(clip.path):
            shutil.rmtree(clip.path)
        else:
            raise OutputError(
                f"{clip.path} has other files than frames, so it is not deleted. Move them first."
            )
    except OSError as error:
        raise OutputError(f"{clip.path} cannot be deleted ({error.strerror}).") from None


def _newest(folder: Path) -> list[Path]:
    """The files and folders that may be clips, the newest first."""
    times: list[tuple[float, str]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                with suppress(OSError):  # a broken link, or removed since
                    if _may_be_clip(entry):
                        times.append((entry.stat().st_mtime, entry.name))
    except OSError as error:
        raise OutputError(f"The folder {folder} cannot be read ({error.strerror}).") from None
    return [folder / name for _, name in sorted(times, reverse=True)]


def _may_be_clip(entry: os.DirEntry[str]) -> bool:
    if entry.name.startswith("."):
        return False
    mode = entry.stat().st_mode
    if S_ISREG(mode):
        suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 - no Path for each file
        return suffix in FORMATS and suffix != PNG.suffix
    return S_ISDIR(mode) and any(os.path.isfile(f"{entry.path}/{n}") for n in _FIRST_FRAMES)  # noqa: PTH113


def _video(path: Path, facts: Mapping[str, Any]) -> Video:
    """The video of a file with these facts.

    Raises:
        LookupError, TypeError: for facts that are not cogmagic's.
    """
    numbers = {name: facts[name] for name in ("width", "height", "num_frames", "fps", "seed")}
    prompt, model = facts["prompt"], facts["model"]
    if not (isinstance(prompt, str) and isinstance(model, str)):
        raise TypeError(prompt, model)
    try:
        report = Report.of_facts(facts)
        if report.cropped:
            numbers["width"], numbers["height"] = report.cropped
        if report.extended:
            numbers["num_frames"] = sum(report.extended)
    except (AttributeError, ValueError) as error:
        raise TypeError(facts) from error
    if not all(type(n) is int for n in numbers.values()) or min(numbers.values()) < 0:
        raise TypeError(numbers)
    suffix = PNG.suffix if path.is_dir() else path.suffix.lower()
    return Video(path=path, prompt=prompt, model=model, report=report, format=suffix[1:], **numbers)
