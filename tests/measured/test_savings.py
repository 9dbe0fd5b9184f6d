"""Predictions with savings against runs on real GPUs (savings.jsonl)."""

from __future__ import annotations

import json
from typing import Any

import pytest

import cogmagic
from cogmagic import Machine
from cogmagic._units import GIB
from tests.helpers.benchmarks import BENCHMARKS

ROWS = [json.loads(line) for line in (BENCHMARKS / "savings.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("row", ROWS, ids=lambda r: f"{'-'.join(r['options'])}-{r['limit']}")
def test_predictions_with_savings_match_measured_runs(row: dict[str, Any]) -> None:
    options = dict.fromkeys(row["options"], True)
    limit = round(row["limit"] * GIB) if row["limit"] else None
    found = cogmagic.plan(
        model=row["model"], tier=row["tier"], machine=Machine.of("H100 SXM"), vram_limit=limit,
        **options,
    )  # fmt: skip
    if limit is None:
        assert found.peak_allocated == pytest.approx(row["allocated"], rel=0.01)
        assert found.step_seconds == pytest.approx(row["step_seconds"], rel=0.15)
    elif found.fits:
        assert "error" not in row
