"""Small parts of the panel: its meter, its view, the peaks of a run, the player."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as w
import traitlets as t

from cogmagic._errors import plain_line
from cogmagic._html import MARK
from cogmagic._video.video import Video

__all__ = ["Meter", "Peaks", "View", "close", "error_html", "player", "show_html"]


_STATIC = Path(__file__).parent / "static"


_PLAYER_LIMIT = 64_000_000
"""Bytes up to which a video is sent to the page."""


class Meter(anywidget.AnyWidget):
    """The memory bars, and whether a page shows them."""

    _esm = _STATIC / "meter.js"
    _css = _STATIC / "panel.css"
    reading = t.Dict().tag(sync=True)
    visible = t.Bool(False).tag(sync=True)
    """Set by the page."""
    copied = t.Unicode().tag(sync=True)
    """A number and a text, which the page puts on the clipboard."""


class View(w.VBox):  # type: ignore[misc]  # it has no types
    """The panel as it is displayed; its text form is the same in every run."""

    def __repr__(self) -> str:
        return f"{MARK}panel"


def error_html(text: str) -> str:
    """An error in the panel, announced by screen readers."""
    return f'<span class="cogmagic-error" role="alert">{escape(text)}</span>'


def show_html(place: w.HTML, html: str) -> None:
    """Show `html` in that widget; nothing is sent to the page where nothing changes."""
    if place.value != html:
        place.value = html


class Peaks:
    """Peak of reserved memory per GPU over a whole run; torch's counters restart at each phase."""

    def __init__(self) -> None:
        self.bytes: dict[int, int] = {}

    def update(self) -> None:
        """Include the current phase, from torch's counters."""
        import torch

        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            for i in range(torch.cuda.device_count()):
                self.include({i: torch.cuda.max_memory_reserved(i)})

    def include(self, reserved: Mapping[int, int]) -> None:
        """Include these bytes per GPU."""
        self.bytes |= {i: max(n, self.bytes.get(i, 0)) for i, n in reserved.items()}


def player(video: Video, limit: int = _PLAYER_LIMIT) -> str:
    """The HTML player of a video, embedded because a link would be relative to the page.

    Nothing of it is stored in the notebook. A video over `limit` bytes is named instead.
    """
    path = video.path
    large = video.unsaved is None and path.is_file() and path.stat().st_size > limit
    if not large:
        return replace(video, embed_limit=limit).player_html()
    size = f"{path.stat().st_size / 1e6:.0f} MB"
    return f"<div>{escape(plain_line(str(path)))} ({size}) is too large to play here.</div>"


def close(widget: Any) -> None:
    """Close a widget and all its parts, which ipywidgets would keep open."""
    parts = [getattr(widget, name, None) for name in ("layout", "style")]
    for part in (*getattr(widget, "children", ()), *parts):
        if isinstance(part, w.Widget):
            close(part)
    widget.close()
