"""The answers of workers to what the kernel asks: collected, or the failure that ended them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence, Set
from multiprocessing.connection import wait
from typing import Any

from cogmagic._errors import DeviceError
from cogmagic._session.parallel.failures import Failed, WorkerLost, root_cause
from cogmagic._session.parallel.messages import Alive, Done, Ready
from cogmagic._session.parallel.process import WorkerProcess

__all__ = ["Deadline", "WorkersFailed", "answers_of", "both", "messages_of"]

_POLL_SECONDS = 0.05
"""How often a waiting kernel looks whether its run has been stopped."""

_SILENT_SECONDS = 60.0
"""How long a starting worker may give no sign of life: no message, no computing, no reading."""

_CAUSE_SECONDS = 1.0
"""How long the kernel waits for the cause after the first failure of a worker."""


def answers_of(
    processes: Sequence[WorkerProcess],
    count: int,
    check: Callable[[], None],
    receive: Callable[[object], None],
    advice: str,
) -> tuple[Any, ...]:
    """The answers of the first `count` workers, by rank.

    Raises:
        WorkersFailed: when one failed or ended.
    """
    answers: dict[int, Ready | Done] = {}
    failures: dict[int, Failed | WorkerLost] = {}
    latest = math.inf
    over = False
    while len(answers) + len(failures) < count and not over:
        over = time.monotonic() >= latest  # before a last look: this process may have had to wait
        check()
        for index, message in messages_of(processes, set(range(count)) - {*answers, *failures}):
            if isinstance(message, Ready | Done):
                answers[index] = message
            elif isinstance(message, Failed | WorkerLost):
                failures[index] = message
                latest = min(latest, time.monotonic() + _CAUSE_SECONDS)
            elif not isinstance(message, Alive):
                receive(message)
    if failures:
        index, failure = root_cause(failures)
        if isinstance(failure, Failed):
            raise WorkersFailed(failure.error(processes[index].name, advice))
        raise WorkersFailed(failure)
    return tuple(answers[index] for index in range(count))


def messages_of(processes: Sequence[WorkerProcess], indices: Set[int]) -> Iterator[tuple[int, Any]]:
    """The messages that the workers of these indices have sent, after a short wait."""
    by_pipe: dict[Any, int] = {processes[i].link.connection: i for i in indices}
    for pipe in wait(list(by_pipe), _POLL_SECONDS):
        index = by_pipe[pipe]
        try:
            yield index, processes[index].answer()
        except WorkerLost as lost:
            yield index, lost


class WorkersFailed(Exception):
    """A failure of a worker, apart from errors of the kernel's own."""

    def __init__(self, cause: Exception) -> None:
        super().__init__()
        self.cause = cause


class Deadline:
    """The time by which workers must have started or connected, and their signs of life."""

    def __init__(
        self, processes: Sequence[WorkerProcess], seconds: float, verb: str, advice: str
    ) -> None:
        self._processes, self._verb, self._advice = processes, verb, advice
        self._began = time.monotonic()
        self._until = self._began + seconds
        self._signs = {p.name: (object(), self._began) for p in processes}

    def check(self) -> None:
        """Check the time, and that each has computed or read something within the last minute.

        Raises:
            DeviceError: when one has not, or the time is over.
        """
        now = time.monotonic()
        for process in self._processes:
            sign = process.activity()
            if sign != self._signs[process.name][0]:
                self._signs[process.name] = sign, now
            silent = now - self._signs[process.name][1]
            if silent > _SILENT_SECONDS or now > self._until:
                raise DeviceError(
                    f"{process.name.capitalize()} has not {self._verb} within"
                    f" {now - self._began:.0f} s. {self._advice}"
                )


def both(*checks: Callable[[], None]) -> Callable[[], None]:
    """The checks, one after the other."""

    def check() -> None:
        for each in checks:
            each()

    return check
