"""What the machine has, twice a second: one daemon thread that never touches a GPU's context."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from cogmagic._errors import first_line
from cogmagic._machine.gpu import Gpu
from cogmagic._machine.ram import Ram

__all__ = ["Reader", "Sample", "Sampler", "Vitals"]


_PATIENCE = 5.0
"""Seconds that closing waits for a driver that does not answer."""


@dataclass(frozen=True)
class Vitals:
    """How a GPU is; None where unknown."""

    temperature: int | None = None
    """Degrees Celsius."""
    power: float | None = None
    """Watts."""


@dataclass(frozen=True)
class Sample:
    """One moment."""

    gpus: tuple[Gpu, ...] = ()
    ram: Ram = field(default_factory=Ram)
    vitals: tuple[Vitals, ...] = ()
    weights: Mapping[int, int] = field(default_factory=dict)
    """Bytes of the session's weights on each GPU."""
    note: str = ""
    """Why there is no GPU, where one might be expected."""


class Reader:
    """Reads this machine, from NVML and from torch's counters on the host.

    A GPU's temperature and power and where the weights lie take most of the time to ask and need
    not be so fresh: they are asked with every fourth reading.
    """

    def __init__(self) -> None:
        self._count = 0
        self._vitals: tuple[Vitals, ...] = ()
        self._weights: Mapping[int, int] = {}

    def __call__(self) -> Sample:
        from cogmagic._machine.machine import Machine
        from cogmagic._machine.nvml import vitals
        from cogmagic._session.session import session

        machine = Machine.detect_hardware()
        if self._count % 4 == 0:
            self._vitals = tuple(Vitals(*vitals(gpu)) for gpu in machine.gpus)
            self._weights = session().held.weights_on_gpus()
        self._count += 1
        note = machine.note or ""
        return Sample(machine.gpus, machine.ram, self._vitals, self._weights, note)


class Sampler:
    """Reads, tells, waits, until it is closed; only while it is wanted.

    Args:
        read: gives a sample.
        tell: gets each one, in the sampler's thread.
        interval: seconds from one to the next.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        read: Callable[[], Sample],
        tell: Callable[[Sample], None],
        interval: float = 0.5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._tell, self._interval, self._clock = read, tell, interval, clock
        self._wanted, self._closed = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def want(self, wanted: bool) -> None:
        """Go on, or pause."""
        if self._closed.is_set():
            return
        if not wanted:
            self._wanted.clear()
            return
        self._wanted.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="cogmagic-sampler", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop for good, and wait until the thread is gone."""
        self._closed.set()
        self._wanted.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_PATIENCE)

    def _run(self) -> None:
        due = self._clock()
        while self._wanted.wait() and not self._closed.is_set():
            try:
                sample = self._read()
            except Exception as error:  # a GPU that goes: the next reading may do
                why = first_line(error)
                sample = Sample(note=f"Memory cannot be read now: {why}")
            with suppress(Exception):  # a front end that went
                self._tell(sample)
            due = max(due + self._interval, self._clock())  # what was missed is not made up for
            self._closed.wait(due - self._clock())
