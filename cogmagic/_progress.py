"""Progress of a run as a stream of small values; nothing is printed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import fmean, median
from typing import Literal

__all__ = ["Clock", "OnProgress", "PartClock", "Progress", "silent"]


Phase = Literal[
    "read masks", "download", "load", "encode", "encode video", "compile", "denoise", "decode",
    "save",
]  # fmt: skip


@dataclass(frozen=True)
class Progress:
    """Progress at one moment. `done` and `total` count bytes (download), steps or tiles."""

    phase: Phase
    done: int = 0
    total: int | None = None
    phase_seconds: float = 0.0
    """Seconds since the phase began."""
    first_seconds: float = 0.0
    """Seconds of the first unit, which includes warm-up and is left out of the rate."""
    note: str = ""
    start: int = 0
    """Units done before the phase began, such as the bytes of an earlier download."""
    warning: str = ""
    """What may be wrong with the video, in every progress of the run; empty without any."""
    row: int = 0
    """In a batch, the number of the row that is being made, from 1; else 0."""
    rows: int = 0
    """The number of rows of the batch; 0 without one."""
    units_left: float | None = None
    """Units left where they differ in work, each counted in the mean unit after the first; None
    where all are alike."""
    batch_seconds_left: float | None = None
    """An estimate for all rows that are left; None until one is finished."""

    @property
    def seconds_left(self) -> float | None:
        """An estimate from the units after the first; None until two are done."""
        finished = self.done - self.start
        if self.total is None or finished < 2:
            return None
        per_unit = (self.phase_seconds - self.first_seconds) / (finished - 1)
        left = self.total - self.done if self.units_left is None else self.units_left
        return max(per_unit * left, 0.0)


OnProgress = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Ignore progress."""


def _nothing(_: Phase) -> None:
    pass


class Clock:
    """The clock of a run: turns phases and steps into `Progress` and measures their seconds."""

    def __init__(
        self, on_progress: OnProgress, stopped: Callable[[], bool] = lambda: False
    ) -> None:
        self._on_progress, self._stopped = on_progress, stopped
        self._phase: Phase | None = None
        self._started = self._first = 0.0
        self.seconds: dict[str, float] = {}
        self.step_ends: dict[str, list[float]] = {}
        """Per phase that has steps, the seconds from its start to the end of each step."""
        self.at_end: Callable[[Phase], None] = _nothing
        """Called with each phase when it ends."""
        self.warning = ""
        """The warning that all further progress has."""
        self.starts: dict[str, int] = {}
        """Per phase, the steps that an earlier attempt has made, and this one leaves out."""
        self.step_work: Sequence[float] = ()
        """The work of each denoising step in any unit; empty where all steps are alike."""
        self._agree: Callable[[bool], bool] | None = None

    def check(self) -> None:
        """Raise if the run has been stopped.

        Raises:
            KeyboardInterrupt: as Ctrl-C would.
        """
        if self._agree is None and self._stopped():
            raise KeyboardInterrupt

    @contextmanager
    def stopping_together(self, agree: Callable[[bool], bool]) -> Iterator[None]:
        """Stop in `check_together` alone, where all processes of a run stop.

        Args:
            agree: whether any of them has been stopped, given whether this one has.
        """
        self._agree = agree
        try:
            yield
        finally:
            self._agree = None

    def check_together(self) -> None:
        """Raise if any process of this run has been stopped. All must call it equally often.

        Raises:
            KeyboardInterrupt: in each of them.
        """
        if self._agree is not None and self._agree(self._stopped()):
            raise KeyboardInterrupt

    def report(self, progress: Progress) -> None:
        """Report progress, unless the run has been stopped."""
        self.check()
        self._on_progress(replace(progress, warning=self.warning))

    def start_over(self, note: str) -> None:
        """Begin again after a failed attempt, whose seconds are counted under ``failed``."""
        self.end()
        self.at_end = _nothing
        self.seconds = {"failed": sum(self.seconds.values())}
        self.step_ends, self.starts = {}, {}
        self.phase("load", note=note)

    def phase(self, phase: Phase, total: int | None = None, note: str = "") -> None:
        """End the phase before, and begin this one, or go on with it.

        Blocks are compiled while denoising where a guidance interval changes the batch.
        """
        self.end()
        before, ends = self.seconds.get(phase, 0.0), self.step_ends.get(phase, [])
        self._phase, self._started = phase, time.monotonic() - before
        self._first = ends[0] if ends else 0.0
        start, spent = self.starts.get(phase, 0), before if ends else 0.0
        done = start + len(ends)
        left = self._units_left(done, start)
        self.report(
            Progress(phase, done, total, spent, self._first, note, start=start, units_left=left)
        )

    def step(self, done: int, total: int) -> None:
        """Report that step `done` (from 1) of `total` has ended."""
        assert self._phase is not None  # noqa: S101 - a step belongs to a phase
        elapsed, start = time.monotonic() - self._started, self.starts.get(self._phase, 0)
        if done == start + 1:
            self._first = elapsed
        self.step_ends.setdefault(self._phase, []).append(elapsed)
        left = self._units_left(done, start)
        self.report(
            Progress(self._phase, done, total, elapsed, self._first, start=start, units_left=left)
        )

    def _units_left(self, done: int, start: int) -> float | None:
        """`Progress.units_left` after `done` steps, of which this attempt began with `start`."""
        if self._phase != "denoise" or not self.step_work or done - start < 2:
            return None
        return sum(self.step_work[done:]) / fmean(self.step_work[start + 1 : done])

    def end(self) -> None:
        """End the current phase, if any."""
        if self._phase is not None:
            self.seconds[self._phase] = time.monotonic() - self._started
            ended, self._phase = self._phase, None
            self.at_end(ended)

    def step_seconds(self, phase: Phase, *, mean: bool = False) -> float | None:
        """Median, or mean, seconds of a step, without the first one, which includes warm-up."""
        ends = self.step_ends.get(phase, [])
        if len(ends) < 2:
            return None
        return (fmean if mean else median)(b - a for a, b in pairwise(ends))


class PartClock(Clock):
    """The clock of one of several equal parts of a run, whose steps it counts with all of them."""

    def __init__(self, whole: Clock, number: int, count: int, first: int = 0) -> None:
        """The clock of a part.

        Args:
            whole: that of the run.
            number: the part's, from 0.
            count: of all parts.
            first: number of the first part that this attempt makes.
        """
        super().__init__(silent)
        self._whole, self._number, self._count, self._first_part = whole, number, count, first

    def check(self) -> None:
        """Raise if the run has been stopped."""
        self._whole.check()

    def check_together(self) -> None:
        """Raise if any process of this run has been stopped."""
        self._whole.check_together()

    def phase(self, phase: Phase, total: int | None = None, note: str = "") -> None:
        """Go on with a phase of the run, which has `total` steps in each part."""
        note = "; ".join(filter(None, (f"chunk {self._number + 1} of {self._count}", note)))
        self._whole.starts[phase] = self._first_part * (total or 0)
        self._whole.phase(phase, total and total * self._count, note)

    def step(self, done: int, total: int) -> None:
        """Report that step `done` (from 1) of the part's `total` has ended."""
        self._whole.step(self._number * total + done, self._count * total)
