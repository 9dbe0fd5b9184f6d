"""The panel's runs: one at a time, in a thread that only sets traits."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from cogmagic._errors import Cancelled, CogMagicError
from cogmagic._notebook.panel.progress import RunDisplay
from cogmagic._progress import Progress
from cogmagic._session.session import session
from cogmagic._spelling import typed_in_cell
from cogmagic._video.video import Video

__all__ = ["Entered", "Runs"]


_STARTING = "Starting: importing PyTorch and diffusers, which takes some seconds once a kernel…"


_SEND_SECONDS = 0.05
"""Seconds for the first text to leave for the page: importing torch stops all other threads."""


_JOIN_SECONDS = 30.0
"""Seconds that closing waits for a run to stop."""


@dataclass(frozen=True)
class Entered:
    """What the form holds when Generate is pressed."""

    prompt: str
    options: dict[str, Any]
    """Options of `cogmagic.generate`."""
    names: dict[str, Any]
    """The same, with variables by their names, as a cell takes them."""
    count: int = 1
    """The number of clips, whose seeds are counted up."""

    def clips(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """`options` and `names` of each clip."""
        for i in range(self.count):
            seed = {"seed": (self.options["seed"] + i) % 2**64}
            yield self.options | seed, self.names | seed


class Runs:
    """The thread of a run, and how it is stopped.

    Args:
        display: shows the progress and the errors.
        on_video: called in the thread with the video and what was entered for it.
        on_change: called when a run begins and when it ends.
    """

    def __init__(
        self,
        display: RunDisplay,
        on_video: Callable[[Video, dict[str, Any]], None],
        on_change: Callable[[], None],
    ) -> None:
        self._display, self._on_video, self._on_change = display, on_video, on_change
        self._stopping = False
        self.job: threading.Thread | None = None
        self.count = 0
        """Runs that have ended."""

    def start(self, entered: Entered) -> None:
        """Begin a run; the page shows that at once, before anything is imported."""
        self._stopping = False
        self._display.begin()
        self._display.show_text(_STARTING)
        # The context carries the cell's identity, by which ipykernel places output.
        context = contextvars.copy_context()
        self.job = threading.Thread(
            target=context.run, args=(self._work, entered), name="cogmagic-panel", daemon=True
        )
        self._on_change()
        self.job.start()

    def cancel(self) -> None:
        """Stop the run within a block of the transformer."""
        if self.job is None:  # it has just ended; a run in a cell is not the panel's to stop
            return
        self._stopping = True  # before the run has begun, the session has nothing to cancel
        session().cancel()
        self._display.show_text("Stopping…")

    def close(self) -> None:
        """Stop the run, and wait until its thread has ended."""
        job = self.job
        if job is not None and job is not threading.current_thread():
            self._stopping = True
            session().cancel()
            job.join(_JOIN_SECONDS)

    @typed_in_cell()
    def _work(self, entered: Entered) -> None:
        display = self._display
        try:
            time.sleep(_SEND_SECONDS)
            from cogmagic._api.generate import generate

            for i, (options, names) in enumerate(entered.clips()):
                several = entered.count > 1
                display.title = f"clip {i + 1} of {entered.count} · " if several else ""
                video = generate(
                    entered.prompt,
                    on_progress=self._on_progress,
                    on_preview=display.show_preview,
                    **options,
                )
                display.peaks.include(video.report.peak_reserved)
                display.show_text("")
                self._on_video(video, names)
        except Cancelled as stopped:
            display.show_text(str(stopped))
        except CogMagicError as error:
            display.show_error(str(error))
        except Exception as error:
            display.show_error(f"{type(error).__name__}: {error}")
        finally:
            display.end()
            self.count += 1
            self.job = None  # from here on another run may begin
            self._on_change()

    def _on_progress(self, progress: Progress) -> None:
        if self._stopping:
            raise KeyboardInterrupt
        self._display.show_progress(progress)
