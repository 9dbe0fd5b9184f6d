"""Rates and times left."""

from __future__ import annotations

import pytest

from cogmagic import Progress
from cogmagic._api.live_line import describe


def test_time_left_counts_only_bytes_of_this_download() -> None:
    half = Progress("download", 9 * 10**9, 10**10, phase_seconds=10.0, start=8 * 10**9)
    assert half.seconds_left == pytest.approx(10.0)
    assert "9.00 of 10.00 GB, 100 MB/s" in describe(half, 10.0)
