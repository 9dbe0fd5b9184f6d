"""The panel's form: its values, its errors, the model's defaults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import cogmagic
from cogmagic import Machine
from cogmagic._notebook.panel.widget import Panel
from tests.helpers.toy import PROMPT


def test_missing_gpu_is_an_error_beside_its_field(panel: Panel) -> None:
    panel.fields.inputs["prompt"].value = PROMPT
    for typed, message in (
        ("7", "this machine has no GPU &#x27;7&#x27;"),
        ("0,", "name GPUs by index"),
    ):
        panel.fields.inputs["gpus"].value = typed
        assert message in panel.fields.errors["gpus"].value
        assert panel.hint.value.startswith('<span class="cogmagic-error">GPUs')
        assert panel.generate.disabled
    panel.fields.inputs["gpus"].value = ""
    assert not panel.generate.disabled


def test_form_follows_the_model_and_its_rules(panel_on: Callable[..., Panel]) -> None:
    panel = panel_on({"now": Machine.of("RTX 3090", ram=64)})
    fields = panel.fields
    assert panel.generate.disabled  # no prompt yet
    fields.inputs["prompt"].value = PROMPT
    assert not panel.generate.disabled
    fields.inputs["model"].value = "1.5-5b-i2v"
    assert fields.inputs["num_frames"].value == 81
    assert "needs a first frame" in fields.errors["image"].value
    assert panel.generate.disabled
    fields.inputs["model"].value = "5b"
    assert (fields.inputs["width"].value, fields.inputs["height"].value) == (720, 480)
    assert not panel.generate.disabled
    fields.inputs["width"].value = 721
    assert "multiples of 16" in fields.errors["height"].value
    assert panel.generate.disabled
    fields.inputs["model"].value = "5bb"
    assert "Did you mean" in fields.errors["model"].value
    assert "cogmagic-stale" in panel.advice._dom_classes
    fields.inputs["model"].value = "tiny"
    assert not panel.generate.disabled
    assert "cogmagic-stale" not in panel.advice._dom_classes


def test_length_follows_the_clip_to_begin_from(panel: Panel) -> None:
    inputs = panel.fields.inputs
    panel.fields.given.variables["walk"] = np.zeros((12, 32, 48, 3), np.uint8)
    for model, frames in (("tiny", 9), ("void", 12), ("tiny-i2v", 17), ("2b", 9)):
        inputs["model"].value = model
        inputs["video"].value = "walk"
        assert inputs["num_frames"].value == frames
        assert not panel.fields.errors["video"].value
    inputs["num_frames"].value = 17
    assert "12 frames" in panel.fields.errors["video"].value
    inputs["video"].value = ""
    for chosen, frames in ((9, 9), (25, 9)):
        inputs["num_frames"].value = chosen
        inputs["video"].value = "walk"
        assert inputs["num_frames"].value == frames
        inputs["video"].value = ""


def test_each_clip_has_a_random_seed_unless_it_is_locked(panel: Panel) -> None:
    fields = panel.fields
    seed = fields.inputs["seed"]
    drawn = [seed.value]
    for _ in range(2):
        fields.draw_seed()
        drawn.append(seed.value)
    assert len(set(drawn)) == 3
    assert not fields.lock.value
    seed.value = "7"  # a seed that is typed counts
    assert fields.lock.value
    fields.draw_seed()
    assert fields.options()["seed"] == 7
    fields.lock.value = False
    fields.draw_seed()
    assert fields.options()["seed"] != 7
    fields.enter(PROMPT, {"model": "tiny", "seed": 8})  # an earlier clip's settings repeat it
    fields.draw_seed()
    assert fields.options()["seed"] == 8


def test_impossible_tier_is_an_error_beside_its_field(panel: Panel) -> None:
    panel.fields.inputs["prompt"].value = PROMPT
    panel.fields.inputs["tier"].value = "balanced"
    assert "several GPUs" in panel.fields.errors["tier"].value
    assert "cogmagic-stale" in panel.advice._dom_classes
    assert panel.generate.disabled
    panel.fields.inputs["tier"].value = "auto"
    assert panel.fields.errors["tier"].value == ""
    assert not panel.generate.disabled


def test_numbers_are_never_changed_and_errors_are_beside_them(panel: Panel) -> None:
    inputs = panel.fields.inputs
    inputs["prompt"].value = PROMPT
    for name, legal, illegal, message in (
        ("seed", str(2**64 - 1), str(2**64), "Seed is 18446744073709551616"),
        ("seed", "7", "x", "Seed &#x27;x&#x27; is not a whole number"),
        ("num_inference_steps", 9, 0, "Steps is 0, but must be 1 to 1000"),
        ("fps", 100, 121, "1 to 120"), ("num_inference_steps", 1000, 0, "1 to 1000"),
        ("guidance_scale", 20.0, 20.5, "1 (no guidance) to 20"),
        ("vram_limit", 0.5, 1e300, "VRAM limit inf"), ("vram_limit", 0.0, -1.0, "0.5 to 4096"),
    ):  # fmt: skip
        inputs[name].value = legal
        assert not panel.generate.disabled, panel.fields.check()
        inputs[name].value = illegal
        assert inputs[name].value == illegal
        assert message in panel.fields.errors[name].value
        assert inputs[name].description in panel.hint.value
        assert panel.generate.disabled
        inputs[name].value = legal
    assert panel.fields.options()["seed"] == 7


def test_unknown_model_is_looked_up_once(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[str] = []

    def missing(name: str) -> None:
        looked_up.append(name)
        raise cogmagic.CheckpointError("not there")

    monkeypatch.setattr("cogmagic._notebook.panel.form.named.find_model", missing)
    panel.fields.inputs["model"].value = "someone/something"
    for seed in "123":
        panel.fields.inputs["seed"].value = seed
    assert looked_up == ["someone/something"]
    assert "not there" in panel.fields.errors["model"].value
    monkeypatch.setattr("cogmagic._notebook.panel.form.lookup._RETRY_SECONDS", 0.0)
    panel.refresh()
    assert len(looked_up) > 1


def test_fields_of_a_clip_appear_with_its_settings(panel: Panel, cwd: Path) -> None:
    panel.fields.enter(PROMPT, {"model": "tiny", "video": "missing.mp4"})
    assert panel.fields.rows["strength"].layout.display == ""
    panel.fields.enter(PROMPT, {"model": "tiny"})
    assert panel.fields.rows["strength"].layout.display == "none"


def test_fields_of_inputs_are_those_of_the_model(panel: Panel, cwd: Path) -> None:
    fields = panel.fields
    fields.inputs["prompt"].value = PROMPT

    def shown() -> set[str]:
        names = ("image", "video", "extend", "strength", "start", "overlap", "fit")
        return {name for name in names if fields.rows[name].layout.display != "none"}

    assert shown() == {"video"}
    fields.inputs["video"].value = "missing.mp4"
    assert shown() == {"video", "strength", "start", "fit"}
    assert "missing.mp4" in fields.errors["video"].value
    assert panel.generate.disabled
    assert fields.inputs["strength"].placeholder == "0.8"
    fields.inputs["strength"].value = "much"
    assert fields.options()["strength"] == "much"  # for the request to refuse
    fields.inputs["strength"].value = "0.5"
    options = fields.options()
    assert (options["video"], options["strength"]) == ("missing.mp4", 0.5)
    fields.enter(PROMPT, {"model": "tiny-inp", "video": "missing.mp4", "strength": 0.8})
    assert fields.options()["strength"] == 0.8
    assert fields.inputs["strength"].placeholder == "0.7"
    fields.inputs["mask"].value = "missing.png"
    assert fields.inputs["strength"].placeholder == "1"
    fields.inputs["model"].value = "tiny-i2v"
    assert shown() == {"image", "extend"}
    options = fields.options()
    assert {options[name] for name in ("video", "strength", "start", "overlap")} == {None}
    fields.inputs["extend"].value = "missing.mp4"
    assert shown() == {"image", "extend", "overlap", "fit"}
    assert fields.errors["image"].value == ""
    assert "missing.mp4" in fields.errors["extend"].value
    fields.enter(PROMPT, {"model": "tiny"})
    assert fields.options()["video"] is None
    assert fields.inputs["strength"].value == ""
    assert not panel.generate.disabled


def test_several_clips_need_a_folder(panel: Panel, cwd: Path) -> None:
    fields = panel.fields
    fields.enter(PROMPT, {"model": "tiny", "save": "fox.mp4"})
    assert not panel.generate.disabled
    fields.inputs["num_videos"].value = 3
    assert "3 clips need a folder" in fields.errors["save"].value
    assert panel.generate.disabled
    fields.inputs["save"].value = "~nobody-has-this-name/clips"
    assert "3 clips need a folder" in fields.errors["save"].value
    fields.inputs["save"].value = str(cwd)
    assert not panel.generate.disabled


def test_variable_that_fails_when_it_is_read_switches_generate_off(panel: Panel) -> None:
    class Broken:
        def __getattr__(self, name: str) -> None:
            raise RuntimeError("no <b>")

    fields = panel.fields
    fields.given.variables["broken"] = Broken()
    fields.enter(PROMPT, {"model": "tiny", "video": "broken"})
    assert panel.generate.disabled
    assert "no &lt;b&gt;" in panel.advice.value
    fields.inputs["video"].value = ""
    assert not panel.generate.disabled


def test_lengths_of_clips_that_are_made_in_chunks_are_offered(panel: Panel) -> None:
    fields = panel.fields
    fields.enter(PROMPT, {"model": "void", "num_frames": 400})
    frames = fields.inputs["num_frames"]
    assert frames.value == 400
    assert {197, 204, 400, 3600} <= {count for _, count in frames.options}
    assert ("1200 (100 s)", 1200) in frames.options
    assert len(frames.options) < 500


def test_words_of_the_form_follow_the_model(panel: Panel) -> None:
    fields = panel.fields
    labels = [label for label, _ in fields.inputs["num_frames"].options]
    assert labels == ["9 (1.1 s)", "17 (2.1 s)", "25 (3.1 s)", "33 (4.1 s)"]
    fields.inputs["num_frames"].value = 33
    fields.inputs["fps"].value = 16
    assert fields.inputs["num_frames"].options[3] == ("33 (2.1 s)", 33)
    assert fields.inputs["num_frames"].value == 33
    fields.examples.buttons[0].click()
    assert fields.prompt() == "a red circle moves to the right on a black background"
    fields.inputs["model"].value = "5b"
    fields.examples.buttons[0].click()
    assert fields.prompt() == fields.examples.buttons[0].tooltip
    assert len(fields.prompt().split()) > 30
