"""Predicted peaks of each phase against runs on real GPUs (tiers.jsonl)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cogmagic._footprint.footprint import footprint
from cogmagic._footprint.work import NO_WORK
from cogmagic._tiers.base import Variant
from cogmagic._tiers.registry import TIERS
from tests.helpers.benchmarks import BENCHMARKS
from tests.helpers.footprints import request_for

# What cuBLAS takes on an H100, as seen there after everything else was freed.
WORKSPACE = 33 * 2**20
MEASURED = ("none", "model", "stream", "sequential")


def measured() -> list[Any]:
    """The kept rows of real GPU runs, whose phases have peaks."""
    rows = [json.loads(x) for x in (BENCHMARKS / "tiers.jsonl").read_text().splitlines()]
    rows = [r for r in rows if r["tier"] in MEASURED and r["peak_phases"]]
    return [pytest.param(r, id=f"{r['model']}-{r['size']}-{r['tier']}") for r in rows]


@pytest.mark.parametrize("row", measured())
def test_predicted_peak_of_each_phase_matches_measured_runs(row: dict[str, Any]) -> None:
    width, height = map(int, row["size"].split("x"))
    ours = footprint(request_for(row["model"], width, height, row["num_frames"]), row["dtype"])
    text, transformer, vae = (
        part.weights for part in (ours.text_encoder, ours.transformer, ours.vae)
    )
    image = ours.encode_image or NO_WORK
    if row["tier"] == "sequential":
        expected = {
            "encode": ours.encode.leaf_peak,
            "denoise": max(ours.denoise.leaf_peak, image.leaf_peak),
            "decode": ours.decode.leaf_peak,
        }
    elif row["tier"] == "stream":  # the card was large enough for every block
        whole = TIERS["stream"].phases(ours, 0, Variant(ours.transformer.blocks))[0]
        expected = {name: whole[name] for name in ("encode", "denoise")}
        expected["decode"] = max(whole["decode"], whole["before decode"])
    elif row["tier"] == "none":
        weights = text + transformer + vae
        expected = {
            "encode": weights + ours.encode.peak,
            "denoise": weights + max(ours.denoise.peak, image.peak),
            "decode": weights + ours.decode.peak,
        }
    else:  # the component of the phase before is there as a phase begins
        stays = vae if ours.encode_image else 0  # from encoding the image on, to the end
        expected = {
            "encode": text + ours.encode.peak,
            "denoise": max(transformer + ours.denoise.peak, text) + stays,
            "decode": max(vae + ours.decode.peak, transformer + stays),
        }
    for phase, peak in expected.items():
        assert -0.01 <= (peak + WORKSPACE) / row["peak_phases"][phase] - 1 <= 0.01, phase
