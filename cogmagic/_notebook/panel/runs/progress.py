"""The panel's display of a run: progress bar, status line, preview, and the peaks for the meter."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import ipywidgets as w

from cogmagic._api.live_line import describe
from cogmagic._html import lines_html
from cogmagic._notebook.panel.parts.html import error_html, show_html
from cogmagic._notebook.panel.parts.looks import make
from cogmagic._notebook.panel.runs.peaks import Peaks
from cogmagic._notebook.panel.runs.preview import animated
from cogmagic._progress import Progress
from cogmagic._video.video import Video

__all__ = ["RunDisplay"]


_UPDATE_SECONDS = 0.2
"""Least seconds between two updates within a phase."""


_ANNOUNCE_SECONDS = 10.0
"""Least seconds between two announcements of progress by screen readers."""


_PREVIEW_FPS = 8


def _nothing(_: str) -> None:
    pass


class RunDisplay:
    """The widgets that show one run after the other.

    Args:
        announce: called with a text that screen readers should read out.
    """

    def __init__(self, announce: Callable[[str], None] = _nothing) -> None:
        self._announce = announce
        self.bar, self.status = make(w.HTML, layout=w.Layout(visibility="hidden")), make(w.HTML)
        self.errors = make(w.HTML)
        """What has failed since the last time that nothing was running."""
        self.preview = make(w.HTML, layout=w.Layout(display="none"))
        self.peaks = Peaks()
        self.title = ""
        """What stands before the phase, such as the number of the clip."""
        self._updated_at = self._announced_at = 0.0

    def begin(self, text: str) -> None:
        """Forget the run before, and say what is done first."""
        self.peaks, self._updated_at, self.title = Peaks(), 0.0, ""
        self._show_share(0.0)
        self.bar.layout.visibility = "visible"
        self.show_text(text)

    def end(self) -> None:
        """Hide the bar and the preview; the status line stays."""
        self.bar.layout.visibility = "hidden"  # it keeps its place
        self.preview.layout.display = "none"

    def forget_errors(self) -> None:
        """Show no error of earlier runs."""
        show_html(self.errors, "")

    def show_progress(self, progress: Progress) -> None:
        """Show the phase, its share and the time; as `on_progress` of `generate`."""
        self.peaks.update()
        now = time.monotonic()
        inside = progress.done and progress.done != progress.total
        if inside and now - self._updated_at < _UPDATE_SECONDS:
            return
        self._updated_at = now
        self._show_share(progress.done / progress.total if progress.total else 0.0)
        text = describe(progress, progress.phase_seconds)
        show_html(self.status, lines_html(f"{self.title}{text}", progress.warning))
        if now - self._announced_at > _ANNOUNCE_SECONDS:
            self._say(self.title + describe(progress, progress.phase_seconds, ""))

    def show_preview(self, frames: Any) -> None:
        """Show the video as it forms; as `on_preview` of `generate`."""
        picture = b64encode(animated(frames, _PREVIEW_FPS)).decode()
        source = f"data:image/webp;base64,{picture}"
        self.preview.value = f'<img alt="The video as it forms" src="{source}">'
        self.preview.layout.display = ""

    def show_finished(self, video: Video) -> None:
        """Empty the status line, and have the result announced."""
        show_html(self.status, "")
        self._say(f"Finished: {video.path.name}, seed {video.seed}.")

    def show_text(self, text: str) -> None:
        """Put a text on the status line, and have it announced."""
        show_html(self.status, lines_html(text))
        self._say(text)

    def show_error(self, text: str) -> None:
        """Put an error below those before."""
        show_html(self.status, "")
        self.errors.value += f'<div tabindex="0">{error_html(text)}</div>'  # it may be scrolled

    def _say(self, text: str) -> None:
        self._announced_at = time.monotonic()
        self._announce(text)

    def _show_share(self, share: float) -> None:
        bar = f'<progress class="cogmagic-progress" aria-label="Progress" value="{share:.3f}">'
        show_html(self.bar, bar + "</progress>")
