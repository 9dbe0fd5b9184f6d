"""What the panel is put together from."""

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

__all__ = ["Marks", "Meter", "View", "close", "error_html", "player"]


_STATIC = Path(__file__).parent / "static"


_PLAYED = 64_000_000
"""Bytes up to which a video is sent to the page."""


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


class Marks:
    """Per GPU, the most that torch has held in a run; its own counters are of a phase alone."""

    def __init__(self) -> None:
        self.bytes: dict[int, int] = {}

    def look(self) -> None:
        """Count what the phase that runs has held so far."""
        import torch

        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            for i in range(torch.cuda.device_count()):
                self.raise_to({i: torch.cuda.max_memory_reserved(i)})

    def raise_to(self, held: Mapping[int, int]) -> None:
        """Count what is known to have been held."""
        self.bytes |= {i: max(n, self.bytes.get(i, 0)) for i, n in held.items()}


def player(video: Video) -> str:
    """A video as the panel plays it: embedded, for a link would be taken from the page's address.

    Nothing of it goes into the notebook. What is larger than a page takes well is named.
    """
    path = video.path
    large = video.unsaved is None and path.is_file() and path.stat().st_size > _PLAYED
    if not large:
        return replace(video, embed_limit=_PLAYED).player_html()
    size = f"{path.stat().st_size / 1e6:.0f} MB"
    return f"<div>{escape(plain_line(str(path)))} has {size}: too large to be shown here.</div>"


def close(widget: Any) -> None:
    """Close a widget and all that it has: ipywidgets closes none of it, and forgets none."""
    parts = [getattr(widget, name, None) for name in ("layout", "style")]
    for part in (*getattr(widget, "children", ()), *parts):
        if isinstance(part, w.Widget):
            close(part)
    widget.close()
