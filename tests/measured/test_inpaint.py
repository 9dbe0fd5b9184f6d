"""Inpainting at real size on a real GPU: each phase's peak against the plan (inpaint.jsonl)."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

import cogmagic
from tests.helpers.benchmarks import BENCHMARKS, script

inpaint = script("inpaint")
ROWS = inpaint.rows(BENCHMARKS / "inpaint.jsonl")
PHASES = [
    pytest.param(row, phase, id=f"{row['case']}-{phase}")
    for row in ROWS
    for phase in ("encode", "encode video", "denoise", "decode")
]


def test_cases_are_known_and_have_no_errors() -> None:
    assert ROWS
    for row in ROWS:
        assert row["case"] in inpaint.names()
        assert "error" not in row


@pytest.mark.parametrize(("row", "phase"), PHASES)
def test_peak_is_that_of_the_plan(row: dict[str, Any], phase: str) -> None:
    """The plan that is made now: it depends on neither the clip's content nor its size."""
    assert _planned(row["case"], row["steps"])[phase] == pytest.approx(
        row["phases"][phase], rel=0.004
    )


@cache
def _planned(name: str, steps: int) -> dict[str, int]:
    case = next(case for case in inpaint.CASES if case.name == name)
    width, height, frames = case.size
    options = case.options((84, 48, frames), steps) | {"width": width, "height": height}
    machine = cogmagic.Machine.of("H200", ram=64)
    planned: dict[str, int] = inpaint.planned(
        cogmagic.plan(inpaint.PROMPT, model=case.model, machine=machine, **options)
    )
    return planned
