"""Temporary files of videos: locked while they are written, renamed when they are complete."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from cogmagic._files import try_lock
from cogmagic._video.formats.png import is_folder_of_frames
from cogmagic._video.output_path import path_exists

__all__ = ["folder_of", "new_part", "numbered", "rename_to_new", "replace_folder", "synchronise"]


_PART = ".cogmagic.part"


def new_part(folder: Path, suffix: str) -> BinaryIO:
    """A new temporary file in `folder`, open and locked; leftovers are removed."""
    for leftover in folder.glob(f".*{_PART}.*"):
        _remove_unlocked(leftover)
    while True:
        part = folder / f".{token_hex(8)}{_PART}{suffix}"
        file = part.open("x+b")
        try_lock(file.fileno())
        if part.exists():  # else another kernel removed it before it was locked
            return file
        file.close()


def folder_of(part: Path) -> Path:
    """The temporary folder that belongs to a temporary file, whose lock is that of both."""
    return part.with_suffix("")


def _remove_unlocked(part: Path) -> None:
    """Remove a temporary file, with its folder, unless a kernel has locked it."""
    with suppress(OSError), part.open("r+b") as file:
        if try_lock(file.fileno()):
            shutil.rmtree(folder_of(part), ignore_errors=True)
            part.unlink()


def synchronise(folder: Path) -> None:
    """Wait until the files of a folder are on the disk."""
    for path in folder.iterdir():
        with path.open("r+b") as file:
            os.fsync(file.fileno())


def rename_to_new(part: Path, path: Path) -> Path:
    """Rename a file or folder atomically, to a name that no file has; returns the name.

    Raises:
        FileExistsError: when a file has it.
    """
    if sys.platform == "win32":  # where renaming never replaces a file
        return part.rename(path)
    if part.is_dir():
        return _rename_folder(part, path)
    try:
        path.hardlink_to(part)  # unlike a rename, never replaces a file
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: reserve the name, then replace that file
        path.touch(exist_ok=False)
        try:
            return part.replace(path)
        except BaseException:
            path.unlink()
            raise
    part.unlink(missing_ok=True)
    return path


def _rename_folder(part: Path, path: Path) -> Path:
    if path_exists(path):  # a rename would replace an empty folder
        raise FileExistsError(path)
    try:
        return part.rename(path)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):  # made since
            raise FileExistsError(path) from None
        raise


def replace_folder(part: Path, path: Path) -> Path:
    """Put a folder in the place of another one; returns the path.

    No system renames a folder over one with files. The old one is moved aside first, under a name
    that nobody removes: a kernel killed between the two renames leaves both complete.
    """
    old = path.with_name(f"{path.name[:40]}-replaced-{token_hex(4)}")
    try:
        path.rename(old)
    except FileNotFoundError:
        return part.rename(path)
    try:
        part.rename(path)
    except BaseException:
        old.rename(path)
        raise
    if is_folder_of_frames(old):  # still: nobody has put other files there during the run
        shutil.rmtree(old, ignore_errors=True)
    return path


def numbered(path: Path, suffix: str) -> Iterator[Path]:
    """`path`, ``path-2``, ``path-3`` and so on; the number is before `suffix`."""
    yield path
    for n in count(2):
        yield path.with_name(f"{path.name.removesuffix(suffix)}-{n}{suffix}")
