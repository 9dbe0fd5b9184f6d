"""Inpainting at real size on a real GPU: each phase's peak against the plan (inpaint.jsonl)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.benchmarks import BENCHMARKS, script

inpaint = script("inpaint")
ROWS = inpaint.rows(BENCHMARKS / "inpaint.jsonl")
PHASES = [
    pytest.param(row, phase, id=f"{row['case']}-{phase}")
    for row in ROWS
    for phase in ("encode video", "denoise", "decode")
]


def test_cases_are_known_and_have_no_errors() -> None:
    assert ROWS
    for row in ROWS:
        assert row["case"] in inpaint.names()
        assert "error" not in row


@pytest.mark.parametrize(("row", "phase"), PHASES)
def test_peak_is_within_a_hundredth_of_the_plan(row: dict[str, Any], phase: str) -> None:
    """That of the text is planned 36 MB too high while streaming, at 0.25 GiB."""
    assert row["planned"][phase] == pytest.approx(row["phases"][phase], rel=0.01)
