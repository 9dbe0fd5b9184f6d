"""Predictions for requests drawn by a seed against their runs on a real GPU (heldout.jsonl)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from tests.helpers.benchmarks import BENCHMARKS, script

heldout = script("heldout")
ROWS = heldout.rows(BENCHMARKS / "heldout.jsonl")
SEEDS = (28, 29)
ALONE = [row for row in ROWS if not row.get("beside")]
"""Rows whose host did nothing else: the others read files and compile more slowly."""


def within(row: dict[str, Any], predicted: str, measured: str, share: float) -> bool:
    return bool(abs(row["predicted"][predicted] / row[measured] - 1) <= share)


def name(row: dict[str, Any]) -> str:
    return f"{row['model']}-{row['asked']}-{row['tier']}-{row['speed']}-{row['state']}"


@pytest.mark.parametrize("seed", SEEDS)
def test_every_request_of_the_seed_was_run(seed: int) -> None:
    own = sorted((r for r in ROWS if r["seed"] == seed), key=lambda r: r["number"])
    for case, row in zip(heldout.drawn(seed), own, strict=True):
        assert {k: row[k] for k in asdict(case)} == asdict(case)
        assert "error" not in row


@pytest.mark.parametrize("row", ROWS, ids=name)
def test_peaks_are_within_a_hundredth(row: dict[str, Any]) -> None:
    """Of all phases but compiling, which timed padded products then and took up to 0.5 GiB more."""
    peak = max(bytes_ for phase, bytes_ in row["phases"].items() if phase != "compile")
    assert row["predicted"]["peak_allocated"] == pytest.approx(peak, rel=0.01)


@pytest.mark.parametrize("row", ALONE, ids=name)
def test_steps_are_within_8_percent_and_25_in_sequential_offload(row: dict[str, Any]) -> None:
    share = 0.25 if row["tier"] == "sequential" else 0.08
    assert within(row, "step_seconds", "step_seconds", share)


@pytest.mark.parametrize("row", ALONE, ids=name)
def test_totals_are_within_15_percent_and_21_in_sequential_offload(row: dict[str, Any]) -> None:
    """Of seed 28, compiling took less where torch's cache had code that no run had recorded."""
    share = 0.21 if row["tier"] == "sequential" else 0.15
    late = row["predicted"]["seconds"] - row["total"]
    compiled = row["seed"] == 28 and "compile" in row["seconds"] and 0 < late < 7.5
    assert compiled or within(row, "seconds", "total", share)


@pytest.mark.parametrize("row", ROWS, ids=name)
def test_cold_requests_read_their_files_from_the_disk(row: dict[str, Any]) -> None:
    assert row["page_cache"] < 0.05 if row["state"] == "cold" else row["page_cache"] > 0.95
