"""What a run tells the outside while it goes: a stream of small facts, no printing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Literal, get_args

__all__ = ["PHASES", "Clock", "OnProgress", "Phase", "Progress", "silent"]


Phase = Literal["download", "load", "encode", "compile", "denoise", "decode", "save"]


PHASES: tuple[Phase, ...] = get_args(Phase)


@dataclass(frozen=True)
class Progress:
    """One moment of a run. `done` and `total` count bytes (download), steps or tiles."""

    phase: Phase
    done: int = 0
    total: int | None = None
    phase_seconds: float = 0.0
    """Seconds since the phase began."""
    first_seconds: float = 0.0
    """Seconds that the first unit took: it warms up, so it is left out of the rate."""
    note: str = ""
    start: int = 0
    """Units that were there when the phase began, such as the bytes of an earlier download."""

    @property
    def seconds_left(self) -> float | None:
        """An estimate from the units after the first, or None while there are too few."""
        made = self.done - self.start
        if self.total is None or made < 2:
            return None
        each = (self.phase_seconds - self.first_seconds) / (made - 1)
        return max(each * (self.total - self.done), 0.0)


OnProgress = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Ignore progress."""


def _nothing(_: Phase) -> None:
    pass


class Clock:
    """Turns phases and steps into `Progress`, and keeps the seconds of each phase and step."""

    def __init__(
        self, on_progress: OnProgress, stopped: Callable[[], bool] = lambda: False
    ) -> None:
        self._tell, self._stopped = on_progress, stopped
        self._phase: Phase | None = None
        self._started = self._first = 0.0
        self.seconds: dict[str, float] = {}
        self.step_ends: dict[str, list[float]] = {}
        """Per phase that has steps, the seconds since its start at which each step was done."""
        self.at_end: Callable[[Phase], None] = _nothing
        """Called with each phase when it is over."""

    def check(self) -> None:
        """End the run here if it is to stop.

        Raises:
            KeyboardInterrupt: as a person's own would be.
        """
        if self._stopped():
            raise KeyboardInterrupt

    def tell(self, progress: Progress) -> None:
        """Pass a moment on, unless the run is to stop."""
        self.check()
        self._tell(progress)

    def start_over(self, note: str) -> None:
        """What was done so far was in vain: its seconds are kept as those of ``failed``."""
        self.end()
        self.at_end = _nothing
        self.seconds = {"failed": sum(self.seconds.values())}
        self.step_ends = {}
        self.phase("load", note=note)

    def phase(self, phase: Phase, total: int | None = None, note: str = "") -> None:
        self.end()
        self._phase, self._started, self._first = phase, time.monotonic(), 0.0
        self.tell(Progress(phase, 0, total, note=note))

    def step(self, done: int, total: int) -> None:
        assert self._phase is not None  # noqa: S101 - a step belongs to a phase
        spent = time.monotonic() - self._started
        if done == 1:
            self._first = spent
        self.step_ends.setdefault(self._phase, []).append(spent)
        self.tell(Progress(self._phase, done, total, spent, self._first))

    def end(self) -> None:
        if self._phase is not None:
            self.seconds[self._phase] = time.monotonic() - self._started
            ended, self._phase = self._phase, None
            self.at_end(ended)

    def step_seconds(self, phase: Phase) -> float | None:
        """The middle one of the seconds between steps; the first, which warms up, is left out."""
        ends = self.step_ends.get(phase, [])
        return median(b - a for a, b in pairwise(ends)) if len(ends) > 1 else None
