"""The peaks of a run."""

from __future__ import annotations

from cogmagic._notebook.panel.runs.peaks import Peaks


def test_peaks_are_the_highest_of_all_phases() -> None:
    peaks = Peaks()
    for reserved in ({0: 3}, {0: 7, 1: 2}, {0: 5}):
        peaks.include(reserved)
    assert peaks.bytes == {0: 7, 1: 2}
