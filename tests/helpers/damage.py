"""Checkpoints with other numbers in some of their weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

Change = Callable[[dict[str, Any]], None]
"""Changes a component's tensors, by name, in place."""


def changed_checkpoint(original: Path, folder: Path, component: str, change: Change) -> Path:
    """A copy of the checkpoint `original` in `folder` whose component has been changed."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(original, folder)
    (file,) = (folder / component).glob("*.safetensors")
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})
    return folder


def filled(name: str, value: float, *, only: int | None = None) -> Change:
    """A change that gives tensor `name` one value, or only its number at place `only`."""

    def change(tensors: dict[str, Any]) -> None:
        numbers = tensors[name].view(-1)
        (numbers if only is None else numbers[only : only + 1]).fill_(value)

    return change
