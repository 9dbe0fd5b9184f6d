"""What each speed takes beside plain diffusers on an H200 (speeds.jsonl)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.benchmarks import BENCHMARKS, script

ROWS = [r for r in script("speeds").rows(BENCHMARKS / "speeds.jsonl") if r["run"] != "plain"]


def row(model: str, run: str, nth: int = 0) -> dict[str, Any]:
    """The last row of a run at the model's own size."""
    return [
        r for r in ROWS if (r["model"], r["asked"], r["run"], r["nth"]) == (model, "", run, nth)
    ][-1]


@pytest.mark.parametrize(
    ("model", "run", "most"),
    [
        ("5b", "exact:none", 1.02),
        ("5b", "exact:stream:5.7", 1.04),
        ("5b", "fast:none", 0.68),
        ("5b", "fast:stream:5.7", 0.71),
        ("5b", "faster:none", 0.59),
        ("5b", "faster:stream:5.7", 0.61),
        ("2b", "fast:none", 0.84),
        ("2b", "faster:none", 0.77),
        ("1.5-5b", "fast:none", 0.721),
    ],
)
def test_step_takes_at_most_this_share_of_plain_diffusers(
    model: str, run: str, most: float
) -> None:
    assert row(model, run)["ratio"] <= most


def test_exact_frames_and_latents_are_those_of_diffusers_in_every_tier() -> None:
    exact = [r for r in ROWS if r["speed"] == "exact"]
    assert all(r["identical"] and r["latents"] == 0.0 for r in exact)
    tiers = {"none", "model", "stream", "staged", "sequential"}
    assert {r["tier"] for r in exact if r["model"] == "5b"} == tiers


def test_capped_runs_stay_below_5_gib() -> None:
    capped = [r for r in ROWS if r["limit"] == 5.7]
    assert capped
    assert all(r["reserved"] <= 5.0 * 2**30 for r in capped)


@pytest.mark.parametrize(
    "r", ROWS, ids=lambda r: f"{r['model']}-{r['asked']}-{r['run']}-{r['nth']}"
)
def test_peaks_are_within_a_hundredth_of_the_prediction(r: dict[str, Any]) -> None:
    """The step that compiles the blocks can take more, up to 7 %: 1.5-5b did at 81 frames."""
    later = max(peak for phase, peak in r["phases"].items() if phase != "compile")
    assert r["predicted"]["peak_allocated"] == pytest.approx(later, rel=0.01)
    assert r["allocated"] <= 1.07 * r["predicted"]["peak_allocated"]


@pytest.mark.parametrize(("speed", "most"), [("exact", 4.9), ("fast", 3.0)])
def test_warm_call_takes_little_beside_denoising(speed: str, most: float) -> None:
    warm = row("5b", f"{speed}:none", nth=1)
    assert warm["total"] - warm["seconds"]["denoise"] <= most


def test_fast_decoding_takes_at_most_0_55_of_the_time() -> None:
    fast, exact = (row("5b", f"{speed}:none", nth=1)["seconds"] for speed in ("fast", "exact"))
    assert fast["decode"] <= 0.55 * exact["decode"]
