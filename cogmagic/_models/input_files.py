"""Files that a user names as an input: the checks that pictures and clips share."""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from cogmagic._errors import RequestError, first_line
from cogmagic._files import typed_path

__all__ = ["check_file", "content_of", "existing_path"]


def existing_path(given: str | os.PathLike[Any], noun: str) -> tuple[Path, str]:
    """The path of a file or folder, and how messages show it.

    Args:
        given: what the user typed.
        noun: what it should be, such as ``image``.

    Raises:
        RequestError: for a missing file, and for a path that no file can have.
    """
    path, shown = "", repr(given)
    try:
        path = os.fsdecode(given)
        shown = path[:200] if path.strip() else repr(path)
        file = typed_path(path)
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise RequestError(f"No {noun} at {shown}. {_advice(path)}.") from None
    except PermissionError as error:
        raise RequestError(
            f"{shown} cannot be read ({error.strerror}). Check its permissions."
        ) from None
    except (OSError, RuntimeError, TypeError, ValueError) as error:  # ~nobody, too long, a NUL
        raise RequestError(f"{shown} is not a usable path ({first_line(error)}).") from None
    return file, shown


def _advice(path: str) -> str:
    """What to do about a path at which there is no file."""
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/+", path)  # a drive of Windows has one letter
    if scheme is None:
        return "Check the path" + ", or the variable's name" * path.isidentifier()
    if scheme[1].lower() == "file":
        return f"Type its path alone: /{path[scheme.end() :][:200]}"
    return "Download it first: cogmagic reads local files"


def check_file(file: Path, shown: str, a_noun: str) -> None:
    """Check that a path is a readable file with content.

    Args:
        file: the path.
        shown: what messages call it.
        a_noun: what it should be, such as ``an image``.

    Raises:
        RequestError: for a folder, a pipe, an empty file, and one without permission to read it.
    """
    try:
        info = file.stat()
        if stat.S_ISDIR(info.st_mode):
            raise RequestError(f"{shown} is a folder, not {a_noun}. Name a file in it.")
        if not stat.S_ISREG(info.st_mode):  # reading it could block for ever
            raise RequestError(f"{shown} is a pipe or a device, not {a_noun}. Name a file.")
        if info.st_size == 0:
            raise RequestError(
                f"{shown} is not {a_noun}: the file is empty (0 bytes). Copy it again."
            )
        file.open("rb").close()
    except OSError as error:
        raise RequestError(
            f"{shown} cannot be read ({error.strerror}). Check its permissions."
        ) from None


def content_of(file: Any) -> bytes:
    """The bytes of a file that is open for reading, from its beginning.

    Raises:
        RequestError: for one that is closed, open as text or cannot be read.
    """
    try:
        with suppress(OSError):  # a pipe
            file.seek(0)
        content = file.read()
    except Exception as error:  # of many types: closed, open for writing
        raise RequestError(
            f"The file cannot be read ({first_line(error).rstrip('.')}). Pass its path."
        ) from None
    if not isinstance(content, bytes | bytearray):
        raise RequestError("The file is open as text. Open it with open(path, 'rb').")
    return bytes(content)
