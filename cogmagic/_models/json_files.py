"""JSON files of a checkpoint, and the numbers of its configurations within plausible bounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cogmagic._errors import CheckpointError

__all__ = ["Config", "read_json"]


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        CheckpointError: when the file is missing or holds no JSON object.
    """
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}).") from None
    if not isinstance(loaded, dict):
        raise CheckpointError(f"{path} is not a JSON object.")
    return loaded


class Config(dict[str, Any]):
    """A ``config.json`` whose numbers are checked when they are read."""

    def __init__(self, path: Path) -> None:
        super().__init__(read_json(path))
        self._path = path

    def number(self, name: str, default: int, most: int) -> int:
        """The whole number of that name, 1 to `most`.

        Raises:
            CheckpointError: for anything else.
        """
        value = self.get(name, default)
        if type(value) is not int or not 1 <= value <= most:
            raise CheckpointError(
                f"{self._path} sets {name} to {value!r:.40}, but CogVideoX models have 1 to"
                f" {most:,}. Download or copy it again."
            )
        return value
