"""Several H200s: predicted seconds of a step, and whole calls (parallel.jsonl)."""

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
RUNS = [row for row in ROWS if row.get("what") == "run"]


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


@pytest.mark.parametrize("row", RUNS, ids=lambda r: f"{r['speed']}-{r['count']}-{r['steps']}")
def test_warm_calls_and_peaks_are_as_predicted(row: dict[str, Any]) -> None:
    peaks = row.get("peaks") or [row["allocated"]]
    predicted = row.get("predicted_peaks") or [row["predicted"]["peak_allocated"]]
    assert peaks == pytest.approx(predicted, rel=0.02)
    if row["nth"] and row["seconds"]["load"] < 1:  # its weights are in RAM
        share = 0.1 if row["count"] > 1 else 0.15
        assert row["predicted"]["seconds"] == pytest.approx(row["total"], rel=share)


def test_tokens_alone_are_divided_without_guidance() -> None:
    runs = [r for r in RUNS if r["guidance_scale"] == 1.0 and r["nth"]]
    for speed in ("exact", "fast"):
        one, two = ([r for r in runs if (r["speed"], r["count"]) == (speed, n)][-1] for n in (1, 2))
        assert "guidance 1 x tokens 2" in two["split"]
        assert two["step_seconds"] < one["step_seconds"] / 1.6


@pytest.mark.parametrize(("speed", "call"), [("exact", 1.8), ("fast", 1.75)])
def test_two_gpus_nearly_halve_a_whole_call(speed: str, call: float) -> None:
    one, two = pair(speed)
    assert two["step_seconds"] < one["step_seconds"] / 1.9
    assert two["wall"] < one["wall"] / call


def test_frames_of_two_gpus_are_those_of_one() -> None:
    one, two = pair("exact")
    assert two["frames"] == one["frames"]


def pair(speed: str) -> list[dict[str, Any]]:
    """The warm calls of one and of two GPUs, with guidance."""
    runs = [r for r in RUNS if r["model"] == "5b" and r["guidance_scale"] == 6.0]
    warm = [r for r in runs if r["nth"] and r["speed"] == speed]
    return [next(r for r in warm if r["count"] == count) for count in (1, 2)]
