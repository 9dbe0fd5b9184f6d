"""The thread that reads the machine for the panel."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

import pytest

from cogmagic._notebook.panel.machine.readings import Reader, Reading, Sampler
from tests.helpers.nvml import FakeNvml


def test_sampler_reads_while_active_and_ends_when_closed() -> None:
    readings: list[Reading] = []
    now = [0.0]

    def read() -> Reading:
        now[0] += 1.0
        if len(readings) == 2:
            raise OSError("the GPU is gone")
        return Reading()

    sampler = Sampler(read, readings.append, interval=0.001, clock=lambda: now[0])
    before = set(threading.enumerate())
    sampler.activate(True)
    until = time.monotonic() + 200
    while len(readings) < 5 and time.monotonic() < until:
        time.sleep(0.001)
    assert len(readings) >= 5  # the thread goes on after the error
    assert readings[2].note == "Memory cannot be read now: the GPU is gone"
    sampler.activate(False)
    time.sleep(0.05)
    paused = len(readings)
    time.sleep(0.05)
    assert len(readings) <= paused + 1
    sampler.close()
    assert set(threading.enumerate()) <= before
    sampler.activate(True)
    assert set(threading.enumerate()) <= before


def test_reading_asks_the_driver_for_free_memory_alone(
    nvml: FakeNvml, cuda_build: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names and capabilities do not change, and vitals are read at every fourth reading."""
    calls: Counter[str] = Counter()

    def counted(name: str) -> Any:
        def call(self: FakeNvml, *args: Any) -> Any:
            calls[name] += 1
            return plain[name](self, *args)

        return call

    plain = {name: call for name, call in vars(FakeNvml).items() if name.startswith("nvml")}
    plain = {name: call for name, call in plain.items() if callable(call)}
    plain["nvmlDeviceGetTemperature"] = lambda _, __, kind: 60 + kind
    for name in plain:
        monkeypatch.setattr(FakeNvml, name, counted(name), raising=False)
    read = Reader()
    assert [vitals.temperature for vitals in read().vitals] == [60, 60]
    calls.clear()
    for _ in range(3):
        assert [vitals.temperature for vitals in read().vitals] == [60, 60]
    assert calls == {"nvmlDeviceGetMemoryInfo": 6}
    read()
    assert calls == {"nvmlDeviceGetMemoryInfo": 8, "nvmlDeviceGetTemperature": 2}
