"""The panel as it is displayed, and its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets as w

from cogmagic._html import MARK
from cogmagic._notebook.panel.clips.record import Record, without_widget

__all__ = ["View", "close"]


class View(w.VBox):  # type: ignore[misc]  # it has no types
    """The panel as it is displayed; its text form is the same in every run.

    Args:
        parts: its widgets.
        record: displayed below it.
    """

    def __init__(self, parts: Sequence[w.Widget], record: Record) -> None:
        self._record = record
        super().__init__(parts)

    def __repr__(self) -> str:
        return f"{MARK}panel"

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self._repr_mimebundle_() | {"text/html": without_widget()}, raw=True)
        self._record.show()


def close(widget: Any) -> None:
    """Close a widget and all its parts, which ipywidgets would keep open.

    The page removes all that it shows at the first message.
    """
    widget.close()
    parts = [getattr(widget, name, None) for name in ("layout", "style")]
    for part in (*getattr(widget, "children", ()), *parts):
        if isinstance(part, w.Widget):
            close(part)
