"""Predicted seconds and peaks of blocks against those on a GPU (blocks.jsonl)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from cogmagic import Machine
from cogmagic._footprint.compiled import with_speedups
from cogmagic._footprint.footprint import footprint
from cogmagic._footprint.savings import Savings
from cogmagic._machine.rates import Rates
from cogmagic._pipeline.speedups import Speedups
from cogmagic._tiers.plain_pace import plain_pace
from cogmagic._tiers.workload import Workload
from tests.helpers.benchmarks import BENCHMARKS
from tests.helpers.footprints import request_for

ROWS = [json.loads(line) for line in (BENCHMARKS / "blocks.jsonl").read_text().splitlines()]
CLIPS = {
    "9": (720, 480, 9), "17": (720, 480, 17), "49": (720, 480, 49), "512": (512, 512, 49),
    "81": (1360, 768, 81),
}  # fmt: skip


def work(row: dict[str, Any], rates: Rates) -> Workload:
    """One step of the row's kind, with all blocks."""
    guidance = 6.0 if row["batch"] == 2 else 1.0
    request = request_for(row["model"], *CLIPS[row["clip"]], guidance_scale=guidance)
    files = footprint(request, row["dtype"])
    stored = Savings(storage=row["storage"]).shrunk(files)
    return Workload(
        request, row["dtype"], files=files, stored=stored, active=stored, overhead=0, rates=rates,
        ram=None, storage=row["storage"],
        speedups=Speedups(compile=row["compile"], attention=row["attention"]),
    )  # fmt: skip


@pytest.mark.parametrize(
    "row",
    ROWS,
    ids=lambda r: "-".join(
        filter(None, (r["model"], r["clip"], str(r["batch"]), r["dtype"], r["attention"],
                      r["storage"], "compiled" * r["compile"], str(r["layers"])))
    ),
)  # fmt: skip
def test_predictions_of_blocks_match_measured_ones(row: dict[str, Any]) -> None:
    rates = Machine.of("H200").rates
    assert rates is not None
    step = work(row, rates)
    blocks = step.active.blocks
    assert step.active.tokens == row["tokens"]
    # What a block takes beside what is alive before it, in units of its hidden states.
    sped = with_speedups(step.active, step.speedups, row["storage"])
    taken = (sped.denoise.peak - blocks.entering) / blocks.hidden
    measured = (row["within"] - row["entering"]) / blocks.hidden
    assert taken == pytest.approx(measured, rel=0.01)
    share = row["layers"] / step.active.transformer.blocks
    seconds = share * plain_pace(step, rates).step
    short = row["model"] == "2b" and row["clip"] in ("9", "17")  # positions, computed per step
    assert seconds == pytest.approx(row["seconds"], rel=0.12 if short else 0.07)
    slower = plain_pace(replace(step, speedups=Speedups()), rates).step
    assert slower >= plain_pace(step, rates).step
