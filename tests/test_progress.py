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
