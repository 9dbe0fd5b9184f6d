"""Checks of the path of an output file, before a run."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from cogmagic._errors import OutputError

__all__ = ["check_working_directory", "path_exists", "refusal"]


_NAME_MAX = 255
"""Most bytes of a file's name on the usual file systems."""


def check_working_directory() -> None:
    """Check that the working directory exists: relative paths and torch need it.

    If torch is imported in a removed one, its first operation on a CPU ends the process ("Intel
    oneMKL FATAL ERROR", torch 2.13).

    Raises:
        OutputError: when it does not.
    """
    try:
        Path.cwd()
    except OSError:
        raise OutputError(
            "The working directory no longer exists, even if a new folder has its path."
            " Type %cd FOLDER with a folder that exists (os.chdir in Python)."
        ) from None


def path_exists(path: Path) -> bool:
    """Whether a file has that name; a broken symbolic link counts.

    Raises:
        OSError, ValueError: for a name that no file can have.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def refusal(path: Path, error: OSError) -> str:
    """Why the system refuses a path, and what to do."""
    if error.errno != errno.ENAMETOOLONG:
        return (
            f"{str(path)[:100]} cannot be accessed ({error.strerror})."
            " Choose another folder with --save FOLDER."
        )
    name = max(path.parts, key=_length)
    if _length(name) > _NAME_MAX:
        return (
            f"--save {name[:40]}…: the name has {_length(name)} bytes, and a file's may have"
            f" {_NAME_MAX}. Shorten it."
        )
    return (
        f"--save {str(path)[:40]}…: the path is too long ({_length(str(path))} bytes). Shorten it."
    )


def _length(text: str) -> int:
    return len(os.fsencode(text))
