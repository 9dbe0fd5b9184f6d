"""``finished.jsonl``: the rows of a batch that have ended.

It gets a line for each: a file that is only appended to costs the same for ten thousand rows as for
ten, and a kernel that dies leaves at most half a line, which is ignored.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import file_digest
from pathlib import Path
from typing import Any, BinaryIO

from cogmagic._errors import BusyError, OutputError
from cogmagic._files import try_lock

__all__ = ["FINISHED", "append", "content", "end_line", "entries", "open_locked"]

FINISHED = "finished.jsonl"


def open_locked(folder: Path) -> BinaryIO:
    """The file of finished rows, open for reading and appending, and locked.

    Raises:
        BusyError: when another kernel has locked it.
    """
    file = (folder / FINISHED).open("a+b")
    if try_lock(file.fileno()) is False:
        file.close()
        raise BusyError(
            f"Another kernel runs the batch in {folder}. Wait for it, or choose another folder with"
            " --save FOLDER."
        )
    return file


def entries(file: BinaryIO) -> Iterator[Mapping[str, Any]]:
    """The entries of the file, without lines that are not whole."""
    file.seek(0)
    for line in file.read().splitlines():
        with suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict) and isinstance(entry.get("row"), int):
                yield entry


def end_line(file: BinaryIO) -> None:
    """End a half-written line."""
    if file.seek(0, os.SEEK_END):
        file.seek(-1, os.SEEK_END)
        if file.read() != b"\n":
            file.write(b"\n")


def append(file: BinaryIO, folder: Path, entry: Mapping[str, Any]) -> None:
    """Write an entry through to the disk.

    Raises:
        OutputError: when the disk refuses it.
    """
    try:
        file.write(json.dumps(entry, default=str).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    except OSError as error:
        raise OutputError(f"{folder} cannot be written ({error.strerror}).") from None


def content(video: Path) -> dict[str, Any]:
    """Size and SHA-256 of a video's file."""
    with video.open("rb") as data:
        return {"bytes": video.stat().st_size, "sha256": file_digest(data, "sha256").hexdigest()}
