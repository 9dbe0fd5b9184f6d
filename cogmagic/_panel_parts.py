"""What the panel is put together from."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as w
import traitlets as t

from cogmagic._video import MARK

__all__ = ["Meter", "View", "close", "error_html", "peaks"]

_STATIC = Path(__file__).parent / "static"


class Meter(anywidget.AnyWidget):
    """The bars; and, from the page, whether anyone sees them."""

    _esm = _STATIC / "meter.js"
    _css = _STATIC / "panel.css"
    sample = t.Dict().tag(sync=True)
    visible = t.Bool(False).tag(sync=True)
    copied = t.Unicode().tag(sync=True)


class View(w.VBox):  # type: ignore[misc]  # it has no types
    """The panel as it is shown; its text does not change from run to run."""

    def __repr__(self) -> str:
        return f"{MARK}panel"


def error_html(text: str) -> str:
    """An error as the panel shows it, read out by screen readers."""
    return f'<span class="cogmagic-wrong" role="alert">{escape(text)}</span>'


def peaks() -> dict[int, int]:
    """Per GPU, the most that torch has held in the phase that runs."""
    import torch

    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return {}
    return {i: torch.cuda.max_memory_reserved(i) for i in range(torch.cuda.device_count())}


def close(widget: Any) -> None:
    """Close a widget and all that it has: ipywidgets closes none of it, and forgets none."""
    parts = [getattr(widget, name, None) for name in ("layout", "style")]
    for part in (*getattr(widget, "children", ()), *parts):
        if isinstance(part, w.Widget):
            close(part)
    widget.close()
