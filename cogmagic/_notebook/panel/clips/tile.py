"""A tile of the gallery: a clip's poster, and the button that shows it."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets as w

from cogmagic._errors import plain_line
from cogmagic._notebook.panel.clips.pages import when
from cogmagic._notebook.panel.parts.html import show_html
from cogmagic._notebook.panel.parts.looks import auto_width, make
from cogmagic._video.library import StoredClip

__all__ = ["Tile"]


class Tile:
    """One place of a page, for one clip after the other.

    Args:
        show: called with the clip when the tile is pressed.
        handler: makes a click handler of a function.
    """

    def __init__(
        self,
        show: Callable[[StoredClip], None],
        handler: Callable[[Callable[[], None]], Callable[[Any], None]],
    ) -> None:
        self.clip: StoredClip | None = None
        self.picture, self.button = make(w.HTML), make(w.Button, layout=auto_width())
        self.button.on_click(handler(lambda: show(self.clip) if self.clip else None))
        self.view = make(w.VBox, [self.picture, self.button], layout=w.Layout(display="none"))
        self.view.add_class("cogmagic-tile")

    def put(self, clip: StoredClip | None) -> None:
        """Show a clip, without its poster; hide the tile for None."""
        if clip == self.clip:
            return
        self.clip = clip
        self.view.layout.display = "none" if clip is None else ""
        if clip is None:
            self.picture.value = ""
            return
        name = plain_line(clip.path.name)
        words = plain_line(" ".join(clip.prompt[:400].split()))
        self.button.description = (words or name)[:60]
        self.button.tooltip = f"{words[:300]}\n{name}, {when(clip)}".strip()
        self._show(f"<div>cannot be read: {escape(clip.error)}</div>" if clip.error else "")

    def show_poster(self, url: str) -> None:
        """Show the clip's poster; without a URL, that it cannot be decoded."""
        self._show(f'<img alt="" src="{url}">' if url else "<div>cannot be decoded</div>")

    def _show(self, picture: str) -> None:
        date = when(self.clip) if self.clip else ""
        show_html(self.picture, f'{picture}<span class="cogmagic-when">{date}</span>')
