"""The panel's results: the last video, the earlier ones, and the cell that makes one again."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets as w

from cogmagic._html import lines_html
from cogmagic._notebook.cell_text import as_cell
from cogmagic._notebook.panel.parts import close, player
from cogmagic._video.video import Video

__all__ = ["Results"]


_RESULTS = 8
"""Results that stay in the strip."""


class Results:
    """The player of the last video, and a strip with a poster and two buttons per result.

    Args:
        enter: enters a prompt and options into the form.
        copy: puts a text on the clipboard.
        handler: makes a click handler of a function.
    """

    def __init__(
        self,
        enter: Callable[[str, dict[str, Any]], None],
        copy: Callable[[str], None],
        handler: Callable[[Callable[[], None]], Callable[[Any], None]],
    ) -> None:
        self._enter, self._copy, self._handler = enter, copy, handler
        self.player, self.strip = w.HTML(), w.VBox()
        self.cell = w.Textarea(
            description="Cell", rows=3, layout=w.Layout(display="none", width="auto")
        )

    @property
    def widgets(self) -> tuple[Any, ...]:
        """The widgets in their order on the page."""
        return self.player, self.cell, self.strip

    def add(self, video: Video, options: dict[str, Any]) -> None:
        """Show a video, and put it at the head of the strip.

        Args:
            video: the result.
            options: what was entered for it.
        """
        facts = lines_html(video.facts_line(), video.report.warning)
        self.player.value = f"{player(video)}<div>{facts}</div>"
        poster = w.HTML(f'<img width="120" alt="{escape(repr(video))}" src="{video._poster()}">')
        again = w.Button(description="Use these settings again", layout=w.Layout(width="auto"))
        copy = w.Button(description="Copy as a cell", layout=w.Layout(width="auto"))
        again.on_click(self._handler(lambda: self._enter(video.prompt, options)))
        copy.on_click(self._handler(lambda: self._show_cell(as_cell(video.prompt, options))))
        wrap = w.Layout(flex_flow="row wrap")
        row = w.Box([poster, w.Label(video.path.name), again, copy], layout=wrap)
        oldest = self.strip.children[_RESULTS - 1 :]
        self.strip.children = (row, *self.strip.children[: _RESULTS - 1])
        for widget in oldest:
            close(widget)

    def _show_cell(self, text: str) -> None:
        self.cell.value, self.cell.layout.display = text, ""
        self._copy(text)
