"""The panel's reader of the machine."""

from __future__ import annotations

import threading
import time

from cogmagic._notebook.panel.sampler import Sample, Sampler


def test_the_sampler_reads_while_it_is_wanted_and_ends_when_it_is_closed() -> None:
    told: list[Sample] = []
    now = [0.0]

    def read() -> Sample:
        now[0] += 1.0
        if len(told) == 2:
            raise OSError("the GPU is gone")
        return Sample()

    sampler = Sampler(read, told.append, interval=0.001, clock=lambda: now[0])
    assert threading.active_count() == len(threading.enumerate())
    before = set(threading.enumerate())
    sampler.want(True)
    until = time.monotonic() + 20
    while len(told) < 5 and time.monotonic() < until:
        time.sleep(0.001)
    assert len(told) >= 5  # the error did not end it
    assert told[2].note == "Memory cannot be read now: the GPU is gone"
    sampler.want(False)
    time.sleep(0.05)
    paused = len(told)
    time.sleep(0.05)
    assert len(told) <= paused + 1
    sampler.close()
    assert set(threading.enumerate()) <= before
    sampler.want(True)
    assert set(threading.enumerate()) <= before
