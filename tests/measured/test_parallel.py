"""Predicted seconds of a step on several GPUs against those on four H200s (parallel.jsonl)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cogmagic import Machine
from cogmagic._footprint.footprint import footprint
from cogmagic._machine.links import link_among
from cogmagic._pipeline.parallel.split import Split
from cogmagic._pipeline.speedups import Speedups
from cogmagic._tiers.plain_pace import plain_pace
from cogmagic._tiers.workload import Workload
from tests.helpers.benchmarks import BENCHMARKS
from tests.helpers.footprints import request_for

ROWS = [json.loads(line) for line in (BENCHMARKS / "parallel.jsonl").read_text().splitlines()]
STEPS = [row for row in ROWS if row.get("what") == "transformer"]


def step_seconds(row: dict[str, Any]) -> float:
    """A step of the row's kind, as it is predicted."""
    request = request_for(row["model"], *map(int, row["size"].split("x")), guidance_scale=6.0)
    split, machine = Split(row["guidance"], row["sequence"]), Machine.of(f"{row['gpus']}x H200")
    assert machine.rates is not None
    files = footprint(request, row["dtype"], split=split)
    work = Workload(
        request, row["dtype"], files=files, stored=files, active=files, overhead=0,
        rates=machine.rates, ram=None, speedups=Speedups(compile=row["compile"]), split=split,
        link=link_among(machine.links, machine.gpus).rate,
    )  # fmt: skip
    return plain_pace(work, machine.rates).step


@pytest.mark.parametrize(
    "row",
    STEPS,
    ids=lambda r: f"{r['guidance']}x{r['sequence']}{'-compiled' * r['compile']}",
)
def test_predicted_steps_match_measured_ones(row: dict[str, Any]) -> None:
    assert step_seconds(row) == pytest.approx(row["step_seconds"], rel=0.07)
