"""Predicted memory and time of every tier against runs on real GPUs (tiers.jsonl)."""

from __future__ import annotations

from typing import Any

import pytest

from cogmagic import Machine
from cogmagic._models.catalog import MODELS
from cogmagic._models.model import Model
from tests.helpers.benchmarks import script
from tests.helpers.plans import five, plan

compare = script("compare")


TIERS = compare.rows()


@pytest.mark.parametrize("row", TIERS, ids=lambda r: f"{r['model']}-{r['run']}")
def test_predicted_peak_vram_and_ram_match_measured_runs(row: dict[str, Any]) -> None:
    pairs = compare.pairs(row)
    assert -0.02 <= pairs["allocated"].off <= 0.05
    assert abs(pairs["ram"].off) <= 0.10


@pytest.mark.parametrize("row", TIERS, ids=lambda r: f"{r['model']}-{r['run']}")
def test_predicted_times_match_measured_runs(row: dict[str, Any]) -> None:
    pairs = compare.pairs(row)
    assert abs(pairs["step"].off) <= (0.10 if row["tier"] == "sequential" else 0.06)
    assert abs(pairs["seconds"].off) <= (0.18 if row["tier"] == "balanced" else 0.13)


REAL = [m for m in MODELS if not (m.embedded or m.inpaints)]


@pytest.mark.parametrize("tier", ["none", "model", "stream", "staged", "sequential"])
@pytest.mark.parametrize("model", REAL, ids=lambda m: m.name)
def test_every_model_and_tier_has_measured_rows(model: Model, tier: str) -> None:
    rows = [r for r in TIERS if (r["model"], r["tier"]) == (model.name, tier)]
    clips = {(r["size"], r["num_frames"]) for r in rows}
    assert (f"{model.width}x{model.height}", model.frames.default) in clips
    assert len(clips) > 1 or model.sizes.exact  # which has no other legal clip
    assert all("rates" in r for r in rows)  # as probed there


def test_balanced_has_measured_rows() -> None:
    assert "balanced" in {r["tier"] for r in TIERS}


def test_predicted_time_on_an_a100_matches_the_published_one() -> None:
    found = plan(five(), Machine.of("A100 80GB"))
    assert found.step_seconds is not None
    assert 50 * found.step_seconds == pytest.approx(180, rel=0.15)  # zai-org/CogVideo, README
