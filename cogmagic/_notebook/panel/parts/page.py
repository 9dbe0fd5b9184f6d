"""What the panel needs of the page beside its widgets: tooltips, keys, announcements."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anywidget
import traitlets as t

__all__ = ["Page", "in_row", "tooltips"]


class Page(anywidget.AnyWidget):
    """An invisible widget that completes the panel's HTML.

    Args:
        generate: called with the text of the prompt when Ctrl+Enter is pressed.
    """

    _esm = Path(__file__).parents[1] / "static" / "page.js"
    tooltips = t.Dict().tag(sync=True)
    """Those of fields, by the names of their rows: ipywidgets shows only some."""
    announcement = t.Unicode().tag(sync=True)
    """What screen readers say next, when nothing else is said."""

    def __init__(self, generate: Callable[[str], None]) -> None:
        super().__init__()
        self._generate = generate
        self.on_msg(self._on_message)

    def announce(self, text: str) -> None:
        """Have screen readers say a text."""
        self.announcement = text

    def _on_message(self, _: Any, content: Any, __: Any) -> None:
        if isinstance(content, dict) and isinstance(content.get("generate"), str):
            self._generate(content["generate"])


def tooltips(*inputs: Mapping[str, Any]) -> dict[str, str]:
    """The tooltips of input widgets that have one, by their names."""
    every = (one for some in inputs for one in some.items())
    return {name: widget.tooltip for name, widget in every if widget.tooltip}


def in_row(name: str) -> str:
    """The CSS class of the row of a field, by which the page finds it."""
    return f"cogmagic-at-{name.replace('_', '-')}"
