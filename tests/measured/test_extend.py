"""Seams of extended clips (extend.jsonl): no jump, and smaller than as the model returns them."""

from __future__ import annotations

import json
from statistics import fmean

from tests.helpers.benchmarks import BENCHMARKS, ROOT

ROWS = [json.loads(line) for line in (BENCHMARKS / "extend.jsonl").read_text().splitlines()]
VARIANTS = ((1, False), (1, True), (4, True))


def ratios(size: str, overlap: int, matched: bool) -> list[float]:
    rows = [r for r in ROWS if (r["size"], r["overlap"], r["matched"]) == (size, overlap, matched)]
    return [ratio for row in rows for ratio in row["seam_step_ratio"]]


def test_step_across_the_seam_is_at_most_twice_the_others() -> None:
    for overlap in (1, 4):
        assert len(ratios("96x96", overlap, True)) == 6
        assert max(ratios("96x96", overlap, True)) <= 2
        assert sum(ratio > 2 for ratio in ratios("64x64", overlap, True)) <= 1
    for size in ("96x96", "64x64"):
        assert fmean(ratios(size, 1, True)) < 0.8 * fmean(ratios(size, 1, False))


def test_background_does_not_drift() -> None:
    assert max(row["background_drift"] for row in ROWS if row["matched"]) <= 3


def test_documented_ratios_are_those_of_the_rows() -> None:
    page = (ROOT / "docs" / "input.md").read_text()
    for size in ("96x96", "64x64"):
        values = [ratios(size, *variant) for variant in VARIANTS]
        cells = " | ".join(f"{fmean(one):.2f}, {max(one):.2f}" for one in values)
        assert f"| {size.replace('x', '×')}: mean, largest | {cells} |" in page
