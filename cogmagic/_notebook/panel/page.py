"""What the panel does in the page that ipywidgets has no trait for: tooltips, names, keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets as t

__all__ = ["Page", "in_row"]


class Page(anywidget.AnyWidget):
    """An invisible widget that completes the panel's HTML.

    Args:
        generate: called with the text of the prompt when Ctrl+Enter is pressed.
    """

    _esm = Path(__file__).parent / "static" / "page.js"
    tooltips = t.Dict().tag(sync=True)
    """The tooltip of each field, by its name."""

    def __init__(self, generate: Callable[[str], None], tooltips: dict[str, str]) -> None:
        super().__init__(tooltips=tooltips)
        self._generate = generate
        self.on_msg(self._on_message)

    def _on_message(self, _: Any, content: Any, __: Any) -> None:
        if isinstance(content, dict) and isinstance(content.get("generate"), str):
            self._generate(content["generate"])


def in_row(name: str) -> str:
    """The CSS class of the row of a field, by which the page finds it."""
    return f"cogmagic-at-{name.replace('_', '-')}"
