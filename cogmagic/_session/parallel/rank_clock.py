"""The clock of a rank: the kernel's clock repeats that of rank 0."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

from cogmagic._progress import Clock, Phase, Progress
from cogmagic._session.parallel.link import Link
from cogmagic._session.parallel.messages import PhaseBegan, Reported, StepEnded

__all__ = ["RankClock"]


class RankClock(Clock):
    """The clock of a rank; that of rank 0 sends its progress to the kernel."""

    def __init__(self, link: Link, stop: Event, *, first: bool) -> None:
        super().__init__(self._receive, stop.is_set)
        self._link, self._first_rank = link, first
        self._known = False
        """Whether the progress under way has been sent as a phase or a step."""

    def phase(self, phase: Phase, total: int | None = None, note: str = "") -> None:
        """End the phase before, and begin this one."""
        self._send(PhaseBegan(phase, total, note))
        with self._sent():
            super().phase(phase, total, note)

    def step(self, done: int, total: int) -> None:
        """Report that step `done` (from 1) of `total` has ended."""
        self._send(StepEnded(done, total))
        with self._sent():
            super().step(done, total)

    def _receive(self, progress: Progress) -> None:
        if not self._known:
            self._send(Reported(progress))

    def _send(self, message: object) -> None:
        if self._first_rank:
            self._link.send(message)

    @contextmanager
    def _sent(self) -> Iterator[None]:
        self._known = True
        try:
            yield
        finally:
            self._known = False
