"""What the panel needs of the page beside its widgets: tooltips, keys, announcements."""

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
        tooltips: those of the fields, by their names.
    """

    _esm = Path(__file__).parent / "static" / "page.js"
    tooltips = t.Dict().tag(sync=True)
    announcement = t.Unicode().tag(sync=True)
    """What screen readers say next, when nothing else is said."""

    def __init__(self, generate: Callable[[str], None], tooltips: dict[str, str]) -> None:
        super().__init__(tooltips=tooltips)
        self._generate = generate
        self.on_msg(self._on_message)

    def announce(self, text: str) -> None:
        """Have screen readers say a text."""
        self.announcement = text

    def _on_message(self, _: Any, content: Any, __: Any) -> None:
        if isinstance(content, dict) and isinstance(content.get("generate"), str):
            self._generate(content["generate"])


def in_row(name: str) -> str:
    """The CSS class of the row of a field, by which the page finds it."""
    return f"cogmagic-at-{name.replace('_', '-')}"
