"""Predictions of streamed runs against runs on real GPUs (stream.jsonl)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cogmagic import Machine, Request
from cogmagic._footprint.footprint import footprint
from cogmagic._machine.gpu import context_bytes
from cogmagic._models.catalog import catalogued
from cogmagic._pipeline.speedups import Speedups
from cogmagic._tiers.base import Variant
from cogmagic._tiers.needs import Needs, predict, reserved_bytes, workspace
from cogmagic._tiers.registry import TIERS
from cogmagic._tiers.workload import Workload
from cogmagic._units import GIB
from tests.helpers.benchmarks import BENCHMARKS

STREAMED = [json.loads(x) for x in (BENCHMARKS / "stream.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    "row",
    [r for r in STREAMED if r["tier"] == "stream" and "error" not in r],
    ids=lambda r: f"{r['model']}-{r['limit']}{'-compiled' * r['compile']}",
)
def test_predictions_of_streamed_runs_match_measured_runs(row: dict[str, Any]) -> None:
    model = catalogued(row["model"])
    assert model is not None
    request, machine = Request.of("any", model), Machine.of("H100 SXM")
    halves = bool(row["halves"])
    foot = footprint(request, "bfloat16", halves=halves)

    def stream(resident: int, *, compiled: bool = False) -> Needs:
        work = Workload(
            request, "bfloat16", files=foot, stored=foot, active=foot, overhead=workspace((9, 0)),
            rates=machine.rates, ram=None, passes=2 if halves else 1,
            speedups=Speedups(compile=compiled),
        )  # fmt: skip
        return predict(TIERS["stream"], work, Variant(resident))

    def takes(resident: int) -> int:
        phases = stream(resident).gpus[0]
        spare = GIB if resident < 42 else 0
        return reserved_bytes({**phases, "denoise": phases["denoise"] + spare})

    limit = round((row["limit"] or 80) * GIB) - context_bytes()
    # Plans counted compiled blocks as others when these rows were measured.
    resident = max((k for k in range(43) if takes(k) <= limit), default=0)
    found = stream(resident, compiled=row["compile"])
    assert found.gpus[0]["denoise"] == pytest.approx(row["phases"]["denoise"], rel=0.01)
    assert found.peak_allocated == pytest.approx(row["allocated"], rel=0.01)
    assert abs(found.peak_ram / row["ram"] - 1) <= 0.10
    assert found.step_seconds is not None
    # At 8.5 GiB the allocator had hardly room to spare, and returned memory at every block.
    tight = (row["model"], row["limit"]) == ("1.5-5b", 8.5)
    assert abs(found.step_seconds / row["step_seconds"] - 1) <= (0.15 if tight else 0.04)
    plain = next(r for r in STREAMED if r["model"] == row["model"])
    assert (row["frames"] == plain["frames"]) != row["compile"]
