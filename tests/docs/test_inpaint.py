"""The tables in the page on inpainting: the planner's, and that of the measured rows."""

from __future__ import annotations

from cogmagic._units import GIB
from tests.helpers.benchmarks import BENCHMARKS, ROOT, script

PAGE = (ROOT / "docs" / "inpaint.md").read_text(encoding="utf-8")


def test_the_table_of_plans_is_that_of_the_planner() -> None:
    assert script("inpaint").table() in PAGE


def test_the_table_of_runs_is_that_of_the_rows() -> None:
    rows = script("inpaint").rows(BENCHMARKS / "inpaint.jsonl")
    assert rows
    for row in rows:
        phases = (row["phases"][phase] / GIB for phase in ("encode video", "denoise", "decode"))
        cells = " | ".join(f"{gib:.2f}" for gib in phases)
        assert f"| {cells} | {row['step_seconds']:.2f} s" in PAGE, row["case"]
