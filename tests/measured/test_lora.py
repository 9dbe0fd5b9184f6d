"""Predictions with LoRA adapters against runs on a real GPU (lora.jsonl)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from cogmagic import Machine, Request
from cogmagic._footprint.configs import table
from cogmagic._machine.amounts import vram_limit_bytes
from cogmagic._models.adapters.adapter import Adapter, LoraLayer
from cogmagic._models.adapters.modules import module_shapes
from cogmagic._planning.memory_options import Available, MemoryOptions
from cogmagic._planning.plan import Plan
from cogmagic._planning.planner import plan
from tests.helpers.benchmarks import BENCHMARKS, script

ROWS = [json.loads(line) for line in (BENCHMARKS / "lora.jsonl").read_text().splitlines()]
LORAS = script("lora").LORAS


def adapter(model: str, rank: int, kinds: tuple[str, ...]) -> Adapter:
    """An adapter like those of the runs; its file is not needed."""
    shapes = module_shapes(table()["models"][model]["configs"]["transformer"])
    layers = tuple(
        LoraLayer(name, "", "", rank, width, out, 1.0)
        for name, (out, width, *_) in shapes.items()
        if name.startswith("transformer_blocks.") and name.endswith(kinds)
    )
    return Adapter("lora.safetensors", 1.0, layers, "lora.safetensors", "diffusers", None)


def planned(row: dict[str, Any], lora: str) -> Plan:
    loras = tuple(adapter(row["model"], *part) for part in LORAS[lora])
    request = replace(Request.of("a circle", row["model"], num_inference_steps=3), loras=loras)
    options = dict(row["options"])
    limit = vram_limit_bytes(options.pop("vram_limit", None))
    chosen = MemoryOptions.of(tier=row["tier"], vram_limit=limit, **options)
    # Compiled rows are of the second run, whose prompt embeddings are cached.
    available = Available(prompts_cached=chosen.compile)
    return plan(request, Machine.of("H200"), chosen, available)


@pytest.mark.parametrize(
    "row", ROWS, ids=lambda r: f"{r['tier']}-{'-'.join(r['options'])}-{r['lora']}"
)
def test_peaks_and_paces_with_adapters_match_measured_runs(row: dict[str, Any]) -> None:
    assert "error" not in row
    predicted = planned(row, row["lora"])
    assert predicted.peak_allocated is not None
    assert row["allocated"] / predicted.peak_allocated == pytest.approx(1, rel=0.01)
    assert predicted.chosen is not None
    denoise = predicted.chosen.needs.gpus[0]["denoise"]
    assert row["phases"]["denoise"] / denoise == pytest.approx(1, rel=0.01)
    base = planned(row, "none")
    assert predicted.step_seconds is not None
    assert base.step_seconds is not None
    # By the datasheet of an H200; with the fp8 storage that widened its weights there.
    fp8 = 0.05 if "fp8" in row["options"] else 0
    assert predicted.step_seconds == pytest.approx(row["step_seconds"], rel=0.06 + fp8)
    ratio = predicted.step_seconds / base.step_seconds
    # Compiled code fuses the scaling and the sum, which then cost about two thirds.
    assert ratio == pytest.approx(row["ratio"], rel=0.05)


def test_frames_are_the_same_again_after_the_adapters_went() -> None:
    digests = {(r["tier"], str(r["options"]), r["lora"]): r["frames"] for r in ROWS}
    for (tier, options, lora), digest in digests.items():
        first = digests[tier, options, "none"]
        assert (digest == first) == (lora in ("none", "none again"))
