"""Presets of the user's own in cells, in Python and in plans."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import av
import pytest
import torch

import cogmagic
from cogmagic import Machine, OutputError, RequestError
from cogmagic._models.find import embedded_folder
from cogmagic._session.session import Session
from tests.helpers.adapters import diffusers_keys, factors, write
from tests.helpers.cells import PROMPT, printed

QUICK = """
[quick]
models = ["tiny"]
lora = "loras/red.safetensors@0.8"
timesteps = [999, 749, 499, 249]
guidance_scale = 1
description = "four even steps"

[few]
steps = 5
"""
TYPED = (
    "--lora loras/red.safetensors@0.8 --timesteps 999,749,499,249 --scheduler ddim --steps 4"
    " --guidance-scale 1"
)
CLIP: dict[str, Any] = {"size": "64x64", "num_frames": 9, "seed": 1}


@pytest.fixture
def presets(cwd: Path) -> Path:
    """A file of presets, beside an adapter of random weights for the embedded model."""
    file = cwd / "presets.toml"
    file.write_text(QUICK)
    write(cwd / "loras" / "red.safetensors", diffusers_keys(factors()))
    return file


@pytest.mark.slow
def test_preset_makes_the_frames_of_its_options(
    shell: Any, presets: Path, session: Session
) -> None:
    shell.run('%config CogMagic.presets = "presets.toml"')
    line = "%%cogvideo --size 64x64 --frames 9 --seed 1"
    shell.run(f"{line} --preset quick --out one\n{PROMPT}")
    shell.run(f"{line} {TYPED} --out two\n{PROMPT}")
    three = cogmagic.generate(PROMPT, preset="presets.toml:quick", progress=False, **CLIP)
    bare = cogmagic.generate(PROMPT, timesteps="999,749,499,249", guidance_scale=1, **CLIP)
    one, two = shell.user_ns["one"], shell.user_ns["two"]
    digests = {video.report.frames_sha256 for video in (one, two, three)}
    assert digests == {_by_diffusers(presets.parent / "loras")}
    assert bare.report.frames_sha256 not in digests  # the adapter changes the frames
    assert (one.report.preset, two.report.preset) == ("quick", "")
    assert " · preset quick · " in one.facts_line()
    assert "preset" not in two.facts_line()
    with av.open(str(one.path)) as file:
        facts = json.loads(file.metadata["comment"])
    assert (facts["preset"], facts["timesteps"]) == ("quick", [999, 749, 499, 249])
    assert [(lora["name"], lora["weight"]) for lora in facts["loras"]] == [("red.safetensors", 0.8)]
    assert (facts["num_inference_steps"], facts["guidance_scale"]) == (4, 1)


def _by_diffusers(loras: Path) -> str:
    """The digest of the plain pipeline's frames; these timesteps are its own for four steps."""
    from diffusers import CogVideoXDDIMScheduler, CogVideoXPipeline

    pipe = CogVideoXPipeline.from_pretrained(embedded_folder(), dtype=torch.float32)
    config = pipe.scheduler.config
    pipe.scheduler = CogVideoXDDIMScheduler.from_config(config, timestep_spacing="trailing")
    pipe.load_lora_weights(loras, weight_name="red.safetensors", adapter_name="red")
    pipe.set_adapters(["red"], [0.8])
    pipe.vae.enable_tiling()
    pipe.set_progress_bar_config(disable=True)
    images = pipe(
        PROMPT, height=64, width=64, num_frames=9, num_inference_steps=4, guidance_scale=1,
        generator=torch.Generator("cpu").manual_seed(1), output_type="pil", max_sequence_length=64,
    ).frames[0]  # fmt: skip
    return hashlib.sha256(b"".join(image.tobytes() for image in images)).hexdigest()


def test_cell_with_a_contradiction_or_an_unknown_preset_is_refused(
    shell: Any, presets: Path
) -> None:
    shell.run(f"%config CogMagic.presets = '{presets}'")
    for line, message in (
        ("--preset quick --steps 8", "--num-inference-steps 8 contradicts preset quick"),
        ("--preset quick --scheduler dpm", "--scheduler dpm contradicts preset quick"),
        ("--preset quick --model 2b", "quick is for tiny: add --model tiny"),
        ("--preset quik", r"has no preset 'quik'\. Did you mean 'quick'\? Choose from: quick, few"),
        ("--preset tdm", "tdm is for 2b: add --model 2b"),
        ("--timesteps 1,2", r"do not descend\. Nearest: --timesteps 2,1\."),
        ("--timesteps 999, 499", "A value with spaces needs quotes: --timesteps"),
        ("--timesteps few", "--timesteps 'few' is not a list of whole numbers"),
    ):
        for cell in (f"%%cogvideo {line}\n{PROMPT}", f"%cogvideo plan {line}"):
            with pytest.raises(RequestError, match=message):
                shell.run(cell)


def test_names_of_presets_are_completed(shell: Any, presets: Path) -> None:
    from IPython.core.completer import provisionalcompleter

    from cogmagic._notebook.completion import complete

    assert complete("%%cogvideo --preset ") == ("", ["tdm"])
    assert complete("%%cogvideo --preset ", presets=str(presets)) == ("", ["tdm", "quick", "few"])
    shell.run('%config CogMagic.presets = "presets.toml"')
    with provisionalcompleter():
        line = "%cogvideo plan --preset q"
        assert [c.text for c in shell.Completer.completions(line, len(line))] == ["quick"]
    presets.write_text("[few")
    assert complete("%%cogvideo --preset ", presets=str(presets)) == ("", ["tdm"])


def test_refused_file_keeps_the_presets_before(
    shell: Any, presets: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shell.run('%config CogMagic.presets = "presets.toml"')
    (presets.parent / "bad.toml").write_text("[quick]\nstep = 4")
    shell.run('%config CogMagic.presets = "bad.toml"')
    assert "bad.toml, preset 'quick': unknown key 'step'. Did you mean 'steps'?" in caplog.text
    shell.run('%config CogMagic.presets = "nowhere.toml"')
    assert "No presets file at nowhere.toml" in caplog.text
    (presets.parent / "sub").mkdir()
    shell.run("import os; os.chdir('sub')")  # the file is found from any working directory
    assert "preset   few: 5 steps instead of 20" in printed(shell, "%cogvideo plan --preset few")


def test_plan_says_what_a_preset_saves(presets: Path) -> None:
    card = Machine.of("RTX 3060", ram=32)
    plan = cogmagic.plan(model="2b", preset="presets.toml:few", machine=card)
    plain = cogmagic.plan(model="2b", machine=card)
    assert plan.seconds is not None
    assert plain.seconds is not None
    assert plan.seconds_without_preset == plain.seconds > 4 * plan.seconds
    assert plain.seconds_without_preset is None
    assert f"preset   few: {plan.seconds:.0f} s instead of 11 min" in str(plan)
    # Where no seconds are known, steps are compared.
    here = cogmagic.plan(preset="presets.toml:few")
    assert here.seconds_without_preset is None
    assert "preset   few: 5 steps instead of 20" in str(here)


def test_plan_as_json_has_the_preset(shell: Any, presets: Path) -> None:
    line = "--model 2b --preset presets.toml:few --gpu 'RTX 3060' --ram 32 --json"
    plan = json.loads(printed(shell, f"%cogvideo plan {line}"))
    assert plan["preset"] == "few"
    assert plan["seconds_without_preset"] > plan["seconds"] > 0
    assert plan["timesteps"] == []
    timesteps = "--model 2b --timesteps 999,499 --gpu 'RTX 3060' --ram 32"
    plan = json.loads(printed(shell, f"%cogvideo plan {timesteps} --json"))
    assert (plan["preset"], plan["timesteps"]) == (None, [999, 499])
    assert "2 steps of ddim at 999, 499, guidance 6" in printed(
        shell, f"%cogvideo plan {timesteps}"
    )


@pytest.mark.slow
def test_preset_holds_for_all_rows_of_a_batch(presets: Path, session: Session) -> None:
    named: dict[str, Any] = {"preset": "presets.toml:quick", "save": "batch", "progress": False}
    clip = {name: value for name, value in CLIP.items() if name != "seed"}
    rows = [{"prompt": PROMPT, "seed": 1}, {"prompt": "a blue square", "seed": 2}]
    videos = list(cogmagic.generate_many(rows, **named, **clip))
    single = cogmagic.generate(PROMPT, preset="presets.toml:quick", progress=False, **CLIP)
    assert [video.report.preset for video in videos] == ["quick", "quick"]
    assert videos[0].report.frames_sha256 == single.report.frames_sha256
    rows[1]["steps"] = 8
    with pytest.raises(RequestError, match=r"2.*num_inference_steps=8 contradicts preset quick"):
        cogmagic.generate_many(rows, **named, **clip)
    del rows[1]["steps"]
    presets.write_text(QUICK.replace("749, 499", "748, 499"))
    with pytest.raises(OutputError, match=r"timesteps is \[999, 749.* there and \[999, 748"):
        cogmagic.generate_many(rows, **named, **clip)
