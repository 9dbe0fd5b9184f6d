"""Rates and times left."""

from __future__ import annotations

import pytest

from cogmagic import Progress
from cogmagic._api.live_line import describe
from cogmagic._progress import Clock


def test_time_left_counts_only_bytes_of_this_download() -> None:
    half = Progress("download", 9 * 10**9, 10**10, phase_seconds=10.0, start=8 * 10**9)
    assert half.seconds_left == pytest.approx(10.0)
    assert "9.00 of 10.00 GB, 100 MB/s" in describe(half, 10.0)


def test_every_progress_has_the_warning() -> None:
    seen: list[Progress] = []
    clock = Clock(seen.append)
    clock.phase("download")
    clock.warning = "2b does not know 1 of 1 word"
    clock.phase("denoise", 3)
    clock.step(1, 3)
    assert [p.warning for p in seen] == ["", clock.warning, clock.warning]
    assert describe(seen[2], 0.0) == "denoise · 1/3 · 0 s"  # displays add the warning
    assert describe(seen[0], 0.0) == "download · 0 s"


def test_time_left_counts_the_work_of_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a guidance interval, a step with guidance takes twice as long."""
    now, seen = [100.0], list[Progress]()
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    clock = Clock(seen.append)
    clock.step_work = (2, 2, 2, 1, 1)
    clock.phase("denoise", 5)
    for done, seconds in enumerate((5.0, 2.0, 2.0, 1.0, 1.0), 1):
        now[0] += seconds
        clock.step(done, 5)
    assert [p.seconds_left for p in seen[1:]] == pytest.approx([None, 4.0, 2.0, 1.0, 0.0])
    clock.phase("decode", 4)
    clock.step(1, 4)
    clock.step(2, 4)
    assert seen[-1].units_left is None


def test_a_phase_that_goes_on_counts_its_earlier_steps_and_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As denoising does after blocks have been compiled meanwhile."""
    now, seen = [100.0], list[Progress]()
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    clock = Clock(seen.append)

    def step(done: int, seconds: float) -> None:
        now[0] += seconds
        clock.step(done, 4)

    clock.phase("denoise", 4)
    step(1, 3.0)
    step(2, 2.0)
    now[0] += 0.25  # of step 3
    clock.phase("compile")
    now[0] += 10.0
    clock.phase("denoise", 4)
    assert (seen[-1].done, seen[-1].phase_seconds, seen[-1].seconds_left) == (2, 5.25, 4.5)
    step(3, 0.75)
    step(4, 1.0)
    clock.end()
    assert clock.seconds == {"denoise": 7.0, "compile": 10.0}
    assert clock.step_seconds("denoise") == 1.0
    assert clock.step_seconds("denoise", mean=True) == pytest.approx(4 / 3)
