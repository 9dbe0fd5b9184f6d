"""A list of radio buttons with words beside each: the panel's models, and its speeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets as t

__all__ = ["Choices"]


class Choices(anywidget.AnyWidget):
    """The list, as ``choices.js`` draws it."""

    _esm = Path(__file__).parents[1] / "static" / "choices.js"
    description = t.Unicode().tag(sync=True)
    """The label, for screen readers."""
    kind = t.Unicode().tag(sync=True)
    """The end of the list's CSS class: ``models`` for ``cogmagic-models``."""
    other = t.Unicode().tag(sync=True)
    """The placeholder of a field for any other value; empty for none."""
    value = t.Unicode().tag(sync=True)
    rows = t.List().tag(sync=True)
    """Per choice: ``value``, ``name``, ``about``, ``fits``, and whether it fits (``ok``), which is
    None where that is not known."""

    def show(self, rows: list[dict[str, Any]]) -> None:
        """Show these rows; nothing is sent to the page where nothing changes."""
        if rows != self.rows:
            self.rows = rows
