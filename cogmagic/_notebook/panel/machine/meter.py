"""The panel's memory meter."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets as t

__all__ = ["Meter"]


_STATIC = Path(__file__).parents[1] / "static"


class Meter(anywidget.AnyWidget):
    """The memory bars, and whether a page shows them."""

    _esm = _STATIC / "meter.js"
    _css = _STATIC / "panel.css"
    reading = t.Dict().tag(sync=True)
    visible = t.Bool(False).tag(sync=True)
    """Set by the page."""
