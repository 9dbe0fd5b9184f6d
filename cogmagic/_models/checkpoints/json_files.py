"""JSON files of a checkpoint, read up to a size limit."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from cogmagic._errors import CheckpointError, first_line

__all__ = ["read_json", "read_text"]


_MAX_BYTES = 4 * 2**20
"""The size limit: the largest file of the published models is an index of 120 kB."""


def read_json(path: Path, most: int = _MAX_BYTES) -> dict[str, Any]:
    """A JSON object from a file of at most `most` bytes, in UTF-8, without a repeated key.

    Raises:
        CheckpointError: when the file is missing or holds no such object.
    """
    text = read_text(path, most)
    try:
        loaded = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise _unreadable(path, first_line(error)) from None
    if not isinstance(loaded, dict):
        raise CheckpointError(f"{path} is not a JSON object. Download or copy it again.")
    return loaded


def read_text(path: Path, most: int = _MAX_BYTES) -> str:
    """The text of a regular file of at most `most` bytes, in UTF-8.

    Raises:
        CheckpointError: when the file is missing, larger, or no such text.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise _unreadable(path, "it is not a regular file")
        with path.open("rb") as file:
            content = file.read(most + 1)
        if len(content) <= most:
            return content.decode("utf-8")
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing. Download or copy it again.") from None
    except (OSError, ValueError) as error:
        raise _unreadable(path, first_line(error)) from None
    size = path.stat().st_size
    raise CheckpointError(
        f"{path} has {size:,} bytes, but CogVideoX models have less than {most:,}."
        " Download or copy it again."
    )


def _unreadable(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{path} cannot be read ({reason}). Download or copy it again.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs. A repeated key is refused: readers take different values of it."""
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r:.40} is repeated")
    return mapping
