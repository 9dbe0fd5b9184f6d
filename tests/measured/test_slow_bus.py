"""Streaming over an emulated slow bus on a real GPU (slow_bus.jsonl)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.benchmarks import BENCHMARKS, script

ROWS = {r["run"]: r for r in script("slow_bus").rows(BENCHMARKS / "slow_bus.jsonl")}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_steps_are_within_15_percent(row: dict[str, Any]) -> None:
    assert row["predicted"]["step_seconds"] == pytest.approx(row["step_seconds"], rel=0.15)


def test_more_memory_lets_more_blocks_stay_and_a_step_is_faster() -> None:
    assert ROWS["fast:9"]["blocks"] > ROWS["fast:5.7"]["blocks"]
    assert ROWS["fast:9"]["step_seconds"] < ROWS["fast:5.7"]["step_seconds"]


def test_fp8_gains_what_the_bus_takes() -> None:
    assert ROWS["faster:5.7"]["step_seconds"] < 0.9 * ROWS["fast:5.7"]["step_seconds"]
