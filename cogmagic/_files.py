"""Atomic writes, file locks, and the JSON tables in the folder of cogmagic's cache."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

__all__ = [
    "cache_folder",
    "read_table",
    "try_lock",
    "typed_path",
    "write_atomically",
    "write_table",
]


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file's content atomically; of a symbolic link, the file that it points to.

    Raises:
        OSError: when it cannot; the old file is then unchanged, and no temporary file is left.
    """
    target = path.resolve()
    with NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as part:
        temporary = Path(part.name)
        try:
            part.write(data)
            part.close()
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def read_table(file: Path) -> dict[str, Any]:
    """The JSON object of a file; empty where it is missing, damaged or something else."""
    with suppress(OSError, ValueError, RecursionError):
        table = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(table, dict):
            return table
    return {}


def write_table(file: Path, table: Mapping[str, Any]) -> None:
    """Replace a file of `read_table`, in a folder that is made unless it exists.

    Raises:
        OSError: when it cannot; the old file is then unchanged.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, json.dumps(table).encode())


def try_lock(handle: int) -> bool | None:
    """Try to lock an open file for this process, without waiting; closing the file unlocks it.

    Returns:
        Whether this process has the lock; None where platform or file system has no locks.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(handle, 1 << 30, os.SEEK_SET)  # no data: others may not read what is locked
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except (ImportError, OSError):
        return None
    return True


def typed_path(text: str | Path) -> Path:
    """The path that a person types, with the home folder in place of ``~`` and ``~name``.

    Raises:
        RuntimeError: for a ``~name`` of no user, with what to type.
    """
    path = Path(text)
    try:
        return path.expanduser()
    except RuntimeError:
        raise RuntimeError(
            f"{path.parts[0]} is no user's home folder: type the whole path, from / on"
        ) from None


def cache_folder() -> Path:
    """The folder of cogmagic's cache: ``$COGMAGIC_CACHE``, or in the user's cache folder."""
    if os.environ.get("COGMAGIC_CACHE"):
        return Path(os.path.expanduser(os.environ["COGMAGIC_CACHE"]))  # noqa: PTH111 - no error
    if sys.platform == "win32" and os.environ.get("LOCALAPPDATA"):
        return Path(os.environ["LOCALAPPDATA"]) / "cogmagic"
    if sys.platform == "darwin":
        return Path("~/Library/Caches/cogmagic").expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "cogmagic"
