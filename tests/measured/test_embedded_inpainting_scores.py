"""Scores of the embedded inpainting model on held-out cases (results_inp.json)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from cogmagic._models.checkpoints.embedded import embedded_folder
from tests.helpers.benchmarks import ROOT

CARD = ROOT / "docs" / "embedded-model"
RESULTS: dict[str, Any] = json.loads((CARD / "results_inp.json").read_text())
CASES: dict[str, list[dict[str, Any]]] = json.loads((CARD / "heldout_inp.json").read_text())
TITLES = {
    "remove one of two": "one of two shapes removed",
    "remove": "the only shape removed",
    "replace": "a shape replaced",
    "first and last frame": "first and last frame given",
    "first frames and last frame": "first frames and last frame given",
    "first frames": "first frames given",
}
REGIONS = ("remove one of two", "remove", "replace")
ENDS = ("first and last frame", "first frames and last frame")


def test_scores_are_those_of_the_packaged_weights() -> None:
    file = embedded_folder("tiny-inp") / "transformer" / "diffusion_pytorch_model.safetensors"
    assert hashlib.sha256(file.read_bytes()).hexdigest() == RESULTS["weights_sha256"]


def test_every_held_out_case_was_scored() -> None:
    assert {g: RESULTS[g]["cases"] for g in TITLES} == {g: len(e) for g, e in CASES.items()}


def test_measure_is_right_on_rendered_clips_and_not_on_the_given_ones() -> None:
    for group in REGIONS:
        measure = RESULTS[group]["measure"]
        assert measure["given"] == 0.0
        assert {measure.get("rendered", 1.0), measure.get("round_trip", 1.0)} == {1.0}


def test_95_percent_of_the_cases_are_right_and_all_removals() -> None:
    for group in ("remove one of two", "remove"):
        assert RESULTS[group]["right"] == 1.0
    right = [RESULTS[g]["right"] * RESULTS[g]["cases"] for g in TITLES]
    assert sum(right) / sum(RESULTS[g]["cases"] for g in TITLES) >= 0.95


def test_what_is_kept_is_kept_and_last_frames_are_met() -> None:
    for group in REGIONS:
        assert RESULTS[group]["kept_psnr_db"]["mean"] >= 30
        assert RESULTS[group]["kept_psnr_db"]["share"] >= 0.95
    for group in ENDS:
        assert RESULTS[group]["last_frame_psnr_db"]["mean"] >= 25
        assert RESULTS[group]["last_frame_psnr_db"]["share"] >= 0.85


def test_replacements_come_from_the_prompts() -> None:
    """With shuffled prompts, colour, shape and direction are seldom right by chance."""
    scores = RESULTS["replace"]
    assert scores["shuffled"]["joint"] < 0.1 < 0.8 < scores["reading"]["joint"]


@pytest.mark.parametrize("group", TITLES)
def test_documented_scores_are_the_measured_ones(group: str) -> None:
    lines = (CARD / "README.md").read_text().splitlines()
    line = next(x for x in lines if x.startswith(f"| {TITLES[group]} |"))
    cells = [cell.strip() for cell in line.strip("|").split("|")[1:]]
    scores = RESULTS[group]
    shown = [str(scores["cases"]), _share(scores["right"])]
    for name in ("kept_psnr_db", "last_frame_psnr_db"):
        level = scores.get(name)
        pair = f"{level['mean']:.1f}, {level['worst']:.1f} dB" if level else ""
        shown += [pair, _share(level["share"]) if level else ""]
    assert cells == shown


def _share(value: float) -> str:
    return f"{100 * value:.1f}".removesuffix(".0") + " %"
