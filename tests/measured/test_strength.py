"""How close video-to-video stayed to its input, by strength (strength.jsonl)."""

from __future__ import annotations

import json
from itertools import pairwise
from statistics import fmean

from tests.helpers.benchmarks import BENCHMARKS, ROOT

ROWS = [json.loads(line) for line in (BENCHMARKS / "strength.jsonl").read_text().splitlines()]


STRENGTHS = ("0.2", "0.4", "0.6", "0.8")


def test_lower_strength_stays_closer() -> None:
    """In the mean by more than 1 dB from one to the next; in each clip but for rounding."""
    means = [fmean(row["psnr"][s] for row in ROWS) for s in STRENGTHS]
    assert all(low - high > 1 for low, high in pairwise(means))
    for row in ROWS:
        values = [row["psnr"][s] for s in STRENGTHS]
        assert all(low - high >= -0.05 for low, high in pairwise(values)), row["input"]


def test_documented_means_are_those_of_the_rows() -> None:
    means = [fmean(row["psnr"][s] for row in ROWS) for s in STRENGTHS]
    cells = " | ".join(f"{mean:.1f}" for mean in means)
    assert f"| PSNR to the input | {cells} |" in (ROOT / "docs" / "input.md").read_text()
    assert len(ROWS) == 6
