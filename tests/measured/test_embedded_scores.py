"""Scores of the embedded image-to-video model on held-out pairs (results_i2v.json)."""

from __future__ import annotations

import hashlib
import json

import pytest

from cogmagic._models.checkpoints.embedded import embedded_folder
from tests.helpers.benchmarks import ROOT

CARD = ROOT / "docs" / "embedded-model"
RESULTS = json.loads((CARD / "results_i2v.json").read_text())
GROUPS = ("agreeing", "contradicting")


def test_scores_are_those_of_the_packaged_weights() -> None:
    file = embedded_folder("tiny-i2v") / "transformer" / "diffusion_pytorch_model.safetensors"
    assert hashlib.sha256(file.read_bytes()).hexdigest() == RESULTS["weights_sha256"]


def test_every_held_out_pair_was_scored() -> None:
    table = json.loads((CARD / "heldout_i2v.json").read_text())
    assert [RESULTS[g]["pairs"] for g in GROUPS] == [len(table[g]) for g in GROUPS] == [80, 40]


def test_first_frame_is_kept_and_the_direction_right_in_95_percent() -> None:
    assert RESULTS["agreeing"]["frame_kept_and_direction"] >= 0.95


def test_directions_come_from_the_prompts() -> None:
    """With shuffled prompts, one of four directions is right by chance."""
    for group in GROUPS:
        assert RESULTS[group]["shuffled"]["direction"] < 0.4 < RESULTS[group]["direction"]


def test_measure_is_right_on_rendered_clips() -> None:
    for group in GROUPS:
        assert RESULTS[group]["rendered"]["joint"] == 1.0
        assert RESULTS[group]["frame_round_trip_psnr_db"]["worst"] >= 25


@pytest.mark.parametrize("score", ["frame_kept_and_direction", "frame_kept", "direction"])
def test_documented_scores_are_the_measured_ones(score: str) -> None:
    title = {
        "frame_kept_and_direction": "**first frame kept, and the prompt's direction**",
        "frame_kept": "first frame kept",
        "direction": "the prompt's direction",
    }[score]
    line = next(x for x in (CARD / "README.md").read_text().splitlines() if f"| {title} |" in x)
    cells = [cell.strip(" *%") for cell in line.split("|")[2:4]]
    assert cells == [f"{100 * RESULTS[group][score]:.1f}".removesuffix(".0") for group in GROUPS]
