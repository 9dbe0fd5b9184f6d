"""The panel's runs: one at a time, in a thread that only sets traits, and the queue behind it."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from cogmagic._errors import Cancelled, reason_of
from cogmagic._notebook.panel.runs.progress import RunDisplay
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


_NUMBERS = count(1)


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
    number: int = field(default_factory=lambda: next(_NUMBERS))
    """Which one of the panel it is."""

    def clips(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """`options` and `names` of each clip."""
        for i in range(self.count):
            seed = {"seed": (self.options["seed"] + i) % 2**64}
            yield self.options | seed, self.names | seed


class Runs:
    """The thread of the runs, the queue, and how both are changed.

    Args:
        display: shows the progress and the errors.
        on_video: called in the thread with the video and what was entered for it.
        on_change: called when a run begins or ends, and when the queue changes.
    """

    def __init__(
        self,
        display: RunDisplay,
        on_video: Callable[[Video, dict[str, Any]], None],
        on_change: Callable[[], None],
    ) -> None:
        self._display, self._on_video, self._on_change = display, on_video, on_change
        self._stopping = False
        self._lock = threading.Lock()
        self._running: Entered | None = None
        self.job: threading.Thread | None = None
        self.queue: tuple[Entered, ...] = ()
        """What runs next, the first one first."""
        self.count = 0
        """Runs that have ended."""

    def add(self, entered: Entered) -> None:
        """Begin a run, or queue it behind the one that is running."""
        with self._lock:
            self.queue += (entered,)
            begins = self.job is None
            if begins:
                self._take_next()
                # The context carries the cell's identity, by which ipykernel places output.
                run = contextvars.copy_context().run
                self.job = threading.Thread(
                    target=run, args=(self._work,), name="cogmagic-panel", daemon=True
                )
        if begins and self.job is not None:
            self._display.forget_errors()
            self._display.begin(_STARTING)  # the page shows it before anything is imported
            self._on_change()
            self.job.start()
        else:
            self._on_change()

    def cancel(self) -> None:
        """Stop the run within a block of the transformer; the queue goes on with the next."""
        if self.job is None:  # it has just ended; a run in a cell is not the panel's to stop
            return
        self._stopping = True  # before the run has begun, the session has nothing to cancel
        session().cancel()
        self._display.show_text("Stopping…")

    def remove(self, number: int) -> Entered | None:
        """Take a request out of the queue; None where it has begun already."""
        with self._lock:
            found = next((one for one in self.queue if one.number == number), None)
            self.queue = tuple(one for one in self.queue if one is not found)
        self._on_change()
        return found

    def move(self, number: int, places: int) -> None:
        """Move a request of the queue by so many places, towards its end."""
        with self._lock:
            order = [one.number for one in self.queue]
            if number in order:
                at = order.index(number)
                rest = [one for one in self.queue if one.number != number]
                rest.insert(max(at + places, 0), self.queue[at])
                self.queue = tuple(rest)
        self._on_change()

    def clear(self) -> None:
        """Empty the queue; the run goes on."""
        with self._lock:
            self.queue = ()
        self._on_change()

    def close(self) -> None:
        """Empty the queue, stop the run, and wait until its thread has ended."""
        with self._lock:
            self.queue = ()
        job = self.job
        if job is not None and job is not threading.current_thread():
            self._stopping = True
            session().cancel()
            job.join(_JOIN_SECONDS)

    def _take_next(self) -> None:
        """With the lock: take the next request out of the queue, or end."""
        self._stopping = False
        self._running, self.queue = (self.queue or (None,))[0], self.queue[1:]
        if self._running is None:
            self.job = None  # from here on another thread may begin

    def _work(self) -> None:
        time.sleep(_SEND_SECONDS)
        while self._running is not None:
            self._run(self._running)
            self._display.end()
            self.count += 1
            with self._lock:
                self._take_next()
            if self._running is not None:
                self._display.begin("Starting the next of the queue…")
            self._on_change()

    @typed_in_cell()
    def _run(self, entered: Entered) -> None:
        display = self._display
        try:
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
                self._on_video(video, names)
                display.show_finished(video)
        except Cancelled as stopped:
            display.show_text(str(stopped))
        except Exception as error:
            display.show_error(reason_of(error))

    def _on_progress(self, progress: Progress) -> None:
        if self._stopping:
            raise KeyboardInterrupt
        self._display.show_progress(progress)
