"""The thread that reads the machine for the panel."""

from __future__ import annotations

import threading
import time

from cogmagic._notebook.panel.readings import Reading, Sampler


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
