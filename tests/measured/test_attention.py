"""Rates of attention kernels on Hopper against those on an H200 (attention.jsonl)."""

from __future__ import annotations

import json

import pytest

import cogmagic
from cogmagic import Machine
from cogmagic._machine.cards.efficiency import efficiency_of
from tests.helpers.benchmarks import BENCHMARKS

ROWS = [json.loads(line) for line in (BENCHMARKS / "attention.jsonl").read_text().splitlines()]
MS = {(row["what"], row["kernel"]): row["ms"] for row in ROWS if "ms" in row}
RATES = efficiency_of((9, 0)).kernels


@pytest.mark.parametrize("kernel", ["fa3", "fa3-fp8"])
def test_rates_of_kernels_are_those_in_a_block(kernel: str) -> None:
    """Not those of the kernel alone, which draws less power."""
    own = MS["attention", "torch"]
    blocks = ("block", "compiled block")
    saved = [MS[block, "torch"] - MS[block, kernel] for block in blocks]
    assert own / (own - sum(saved) / 2) == pytest.approx(RATES[kernel], rel=0.015)


def test_flash_attention_2_has_the_rate_of_torchs_flash_kernel() -> None:
    rate = MS["attention", "torch"] / MS["attention", "flash"]
    assert rate == pytest.approx(RATES["fa2"], abs=0.005)


def test_a_step_with_fa3_and_the_peak_of_fast_decoding_are_those_of_a_run() -> None:
    lines = (BENCHMARKS / "speeds.jsonl").read_text().splitlines()
    runs = [row for row in map(json.loads, lines) if row["model"] == "5b"]
    rows = [row for row in runs if row["run"] == "fast:none"]
    assert rows
    for row in rows:
        width, height, frames = map(int, row["size"].split("x"))
        plan = cogmagic.plan(
            model=row["model"], width=width, height=height, num_frames=frames, speed="fast",
            tier="none", machine=Machine.of("H200", ram=200),
        )  # fmt: skip
        assert plan.step_seconds == pytest.approx(row["step_seconds"], rel=0.02)
        assert plan.peak_allocated == pytest.approx(row["allocated"], rel=0.001)
