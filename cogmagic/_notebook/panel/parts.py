"""Small parts of the panel: its view, errors, the player."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape
from typing import Any

import ipywidgets as w

from cogmagic._errors import plain_line
from cogmagic._html import MARK
from cogmagic._notebook.panel.labels import panel_words
from cogmagic._notebook.panel.record import Record, without_widget
from cogmagic._video.video import Video

__all__ = ["PLAYER_LIMIT", "View", "close", "error_html", "player", "show_html"]


PLAYER_LIMIT = 64_000_000
"""Bytes up to which a video is sent to the page."""


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


def error_html(text: str) -> str:
    """An error in the panel, announced by screen readers, with fields by their labels."""
    return f'<span class="cogmagic-error" role="alert">{escape(panel_words(text))}</span>'


def show_html(place: w.HTML, html: str) -> None:
    """Show `html` in that widget; nothing is sent to the page where nothing changes."""
    if place.value != html:
        place.value = html


def player(video: Video, limit: int = PLAYER_LIMIT) -> str:
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
    """Close a widget and all its parts, which ipywidgets would keep open.

    The page removes all that it shows at the first message.
    """
    widget.close()
    parts = [getattr(widget, name, None) for name in ("layout", "style")]
    for part in (*getattr(widget, "children", ()), *parts):
        if isinstance(part, w.Widget):
            close(part)
