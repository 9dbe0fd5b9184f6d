"""The panel's display of a run: progress bar, status line, preview, and the peaks for the meter."""

from __future__ import annotations

import time
from base64 import b64encode
from typing import Any

import ipywidgets as w

from cogmagic._api.live_line import describe
from cogmagic._html import lines_html
from cogmagic._notebook.panel.html import animated
from cogmagic._notebook.panel.meter import Peaks
from cogmagic._notebook.panel.parts import error_html, show_html
from cogmagic._progress import Progress

__all__ = ["RunDisplay"]


_UPDATE_SECONDS = 0.2
"""Least seconds between two updates within a phase."""


_PREVIEW_FPS = 8


class RunDisplay:
    """The widgets that show one run after the other."""

    def __init__(self) -> None:
        self.bar, self.status = w.HTML(layout=w.Layout(visibility="hidden")), w.HTML()
        self.preview = w.HTML(layout=w.Layout(display="none"))
        self.peaks = Peaks()
        self.title = ""
        """What stands before the phase, such as the number of the clip."""
        self._updated_at = 0.0

    @property
    def widgets(self) -> tuple[Any, ...]:
        """The widgets in their order on the page."""
        return self.bar, self.status, self.preview

    def begin(self) -> None:
        """Forget the run before."""
        self.peaks, self._updated_at = Peaks(), 0.0
        self._show_share(0.0)
        self.bar.layout.visibility = "visible"

    def end(self) -> None:
        """Hide the bar and the preview; the status line stays."""
        self.bar.layout.visibility = "hidden"  # it keeps its place
        self.preview.layout.display = "none"

    def show_progress(self, progress: Progress) -> None:
        """Show the phase, its share and the time; as `on_progress` of `generate`."""
        self.peaks.update()
        now = time.monotonic()
        inside = progress.done and progress.done != progress.total
        if inside and now - self._updated_at < _UPDATE_SECONDS:
            return
        self._updated_at = now
        self._show_share(progress.done / progress.total if progress.total else 0.0)
        hint = " (stop it with Cancel: the kernel's stop button does not reach it)"
        text = describe(progress, progress.phase_seconds)
        self.show_text(f"{self.title}{text}{hint}", progress.warning)

    def show_preview(self, frames: Any) -> None:
        """Show the video as it forms; as `on_preview` of `generate`."""
        picture = b64encode(animated(frames, _PREVIEW_FPS)).decode()
        source = f"data:image/webp;base64,{picture}"
        self.preview.value = f'<img alt="The video as it forms" width="240" src="{source}">'
        self.preview.layout.display = ""

    def show_text(self, text: str, warning: str = "") -> None:
        """Put a text on the status line, and a warning below it."""
        show_html(self.status, lines_html(text, warning))

    def show_error(self, text: str) -> None:
        """Put an error on the status line."""
        show_html(self.status, error_html(text))

    def _show_share(self, share: float) -> None:
        bar = f'<progress class="cogmagic-progress" aria-label="Progress" value="{share:.3f}">'
        show_html(self.bar, bar + "</progress>")
