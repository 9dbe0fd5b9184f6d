"""Cells for an IPython shell in this process, and what they display."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from IPython.utils.capture import capture_output

PROMPT = "a red circle moves to the right"


def cell(folder: Path, options: str = "", body: str = PROMPT) -> str:
    """A cell that makes a small clip in one step."""
    return f"%%cogvideo --model '{folder}' --size 48x32 --frames 9 --steps 1 {options}\n{body}"


def displayed(shell: Any, source: str) -> list[dict[str, str]]:
    """The MIME bundles that a cell displays, in order."""
    with capture_output(stderr=False) as captured:
        shell.run(source)
    return [output.data for output in captured.outputs]


def printed(shell: Any, source: str) -> str:
    with capture_output(stderr=False, display=False) as captured:
        shell.run(source)
    return str(captured.stdout)
