"""Readings of the machine, twice a second, in one thread that never creates a CUDA context."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from cogmagic._errors import first_line
from cogmagic._machine.gpu import Gpu
from cogmagic._machine.ram import Ram

__all__ = ["Reader", "Reading", "Sampler", "Vitals"]


_JOIN_SECONDS = 5.0
"""Seconds that closing waits for a driver that does not answer."""


_VITALS_EVERY = 4
"""Readings from one query of vitals and weights to the next: they take the longest."""


@dataclass(frozen=True)
class Vitals:
    """Temperature, power and utilisation of a GPU; None where unknown."""

    temperature: int | None = None
    """Degrees Celsius."""
    power: float | None = None
    """Watts."""
    utilisation: int | None = None
    """Percent of the last moments in which it computed."""


@dataclass(frozen=True)
class Reading:
    """The machine's memory at one moment."""

    gpus: tuple[Gpu, ...] = ()
    ram: Ram = field(default_factory=Ram)
    vitals: tuple[Vitals, ...] = ()
    weights: Mapping[int, int] = field(default_factory=dict)
    """Bytes of the session's weights on each GPU."""
    note: str = ""
    """Why no GPU is listed, where one might be expected."""


class Reader:
    """Reads this machine, from NVML and from torch's counters on the host."""

    def __init__(self) -> None:
        self._count = 0
        self._vitals: tuple[Vitals, ...] = ()
        self._weights: Mapping[int, int] = {}

    def __call__(self) -> Reading:
        from cogmagic._machine.machine import Machine
        from cogmagic._machine.nvml import vitals
        from cogmagic._session.session import session

        machine = Machine.detect_hardware()
        if self._count % _VITALS_EVERY == 0:
            self._vitals = tuple(Vitals(*vitals(gpu)) for gpu in machine.computing)
            holds = any(gpu.reserved for gpu in machine.computing)
            self._weights = session().slot.weights_on_gpus() if holds else {}
        self._count += 1
        note = machine.note or ""
        return Reading(machine.computing, machine.ram, self._vitals, self._weights, note)


class Sampler:
    """A thread that takes readings while it is active, until it is closed.

    Args:
        read: takes a reading.
        on_reading: called with each one, in the sampler's thread.
        interval: seconds from one reading to the next.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        read: Callable[[], Reading],
        on_reading: Callable[[Reading], None],
        interval: float = 0.5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._on_reading = read, on_reading
        self._interval, self._clock = interval, clock
        self._active, self._closed = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def activate(self, active: bool) -> None:
        """Take readings from now on, or pause."""
        if self._closed.is_set():
            return
        if not active:
            self._active.clear()
            return
        self._active.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="cogmagic-sampler", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop for good, and wait until the thread has ended."""
        self._closed.set()
        self._active.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        due = self._clock()
        while self._active.wait() and not self._closed.is_set():
            try:
                reading = self._read()
            except Exception as error:  # the next reading may succeed
                reading = Reading(note=f"Memory cannot be read now: {first_line(error)}")
            with suppress(Exception):  # the front end may have gone
                self._on_reading(reading)
            due = max(due + self._interval, self._clock())  # missed readings are not made up for
            self._closed.wait(due - self._clock())
