"""Training of the embedded inpainting model: what it conditions on, and what it never sees."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

from tests.helpers.embedded_scripts import SCRIPTS, TINY, embedded_script

CASES: dict[str, list[dict[str, Any]]] = json.loads((SCRIPTS / "heldout_inp.json").read_text())
HELD = json.loads((SCRIPTS / "heldout.json").read_text())["combinations"]


@pytest.fixture(scope="module")
def inpainted() -> Iterator[ModuleType]:
    with embedded_script("inpainted") as module:
        yield module


@pytest.fixture(scope="module")
def pipe(inpainted: ModuleType) -> Any:
    from diffusers import CogVideoXPipeline, CogVideoXTransformer3DModel

    task = import_module("train_inp").TASK
    base = CogVideoXTransformer3DModel.from_pretrained(TINY, subfolder="transformer").float()
    wide = import_module("finetune").widened(base, task.channels, **task.config)
    return CogVideoXPipeline.from_pretrained(TINY, transformer=wide, dtype="float32")


def test_finished_clips_have_held_out_combinations() -> None:
    assert sum(map(len, CASES.values())) == 160
    for group, entries in CASES.items():
        for entry in entries:
            assert entry["wanted"] in HELD or (group == "remove" and entry["wanted"] is None)


def test_regions_cover_what_goes_and_leave_what_stays(inpainted: ModuleType) -> None:
    cases = import_module("inpaint_cases")
    regions = import_module("regions")
    for group in ("remove one of two", "remove", "replace"):
        entries = CASES[group][:6]
        mask = cases.rendered(entries).mask
        gone = cases.batch_of(import_module("clips").Scenes, [e["gone"] for e in entries])
        assert inpainted.covered(gone, mask).min() > 0.999
        if group == "remove one of two":
            kept = cases.batch_of(import_module("clips").Scenes, [e["scene"] for e in entries])
            assert not inpainted.covered(kept, mask).any()
    frames = regions.frames_kept([(3, 1)], mask.device)
    assert regions.cover(frames)[0, 0].mean((1, 2)).tolist() == [0.0] * 3 + [1.0] * 13 + [0.0]


def test_captions_describe_what_the_region_covers(inpainted: ModuleType) -> None:
    rng = random.Random(2)  # noqa: S311
    red, blue = (("red", "circle", "up"), "", "black"), (("blue", "square", "left"), "", "black")
    for _ in range(50):
        hidden = inpainted.caption("shape", [(red, 0.1), (blue, 0.9)], "black", rng).lower()
        assert not any(word in hidden.split() for word in ("red", "circle", "disc", "ball"))
        nothing = inpainted.caption("elsewhere", [], "black", rng).lower()
        assert "black" in nothing


@pytest.mark.slow
def test_widened_transformer_begins_as_the_text_to_video_one(
    inpainted: ModuleType, pipe: Any
) -> None:
    import torch
    from diffusers import CogVideoXPipeline

    native = import_module("batches").NATIVE
    batches = inpainted.InpaintedBatches(pipe, 4, 4, torch.device("cpu"), seed=3, kinds=(native,))
    *batch, kept = batches.draw(native)
    assert kept.shape[2] == 17
    assert kept.abs().max() > 0
    old = import_module("train_transformer").Denoising(
        CogVideoXPipeline.from_pretrained(TINY, dtype=torch.float32), *native[:2]
    )
    with torch.no_grad():
        expected = old(*batch)
        loss = import_module("finetune").Denoising(pipe, *native[:2])(*batch, kept)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.slow
def test_training_sees_no_held_out_combination(
    inpainted: ModuleType, pipe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shapes that are rendered, apart from those that only lend a region their way."""
    seen = []
    place = inpainted.place

    def noted(attributes: Any, *rest: Any) -> Any:
        seen.append({tuple(a[0]) for a in attributes})
        return place(attributes, *rest)

    monkeypatch.setattr(inpainted, "place", noted)
    monkeypatch.setattr(inpainted, "condition", lambda _, clip, *__: clip[:, :, :5, :12, :12])
    inpainted.InpaintedClips(pipe, 2, 96, 96, seed=1)
    held = {tuple(c) for c in HELD}
    assert len(seen) == 3  # two shapes of each clip, and the region's
    assert not (seen[0] | seen[1]) & held


@pytest.mark.slow
def test_nothing_kept_conditions_on_nothing(inpainted: ModuleType, pipe: Any) -> None:
    import torch

    condition = import_module("conditioning").condition
    clips = torch.zeros(2, 3, 17, 96, 96)
    mask = torch.ones(2, 1, 17, 96, 96)
    mask[1, :, 0] = 0
    latents = condition(pipe.vae, clips, mask, 0.0)
    assert not latents[0].any()
    factor = pipe.vae.config.scaling_factor
    assert latents[1, :, 0].amax((1, 2)).tolist() == pytest.approx([factor, 0, 0, 0, 0])
