"""Few-step presets: what they set, what contradicts them, and TOML files of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cogmagic import CheckpointError, Request, RequestError
from cogmagic._models.presets import PRESETS
from cogmagic._models.presets_file import find_preset, in_file, read_presets
from cogmagic._spelling import as_python
from tests.helpers.adapters import diffusers_keys, factors, write
from tests.helpers.benchmarks import ROOT

QUICK = """
[quick]
models = ["tiny"]
timesteps = [999, 749, 499, 249]
guidance_scale = 1
description = "four steps"
recipe = "tests"

[bare]
steps = 8
"""


@pytest.fixture
def presets(tmp_path: Path) -> Callable[[str | bytes], str]:
    """Writes a TOML file and returns its path."""

    def write(text: str | bytes = QUICK) -> str:
        file = tmp_path / "presets.toml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(file)

    return write


def settings(request: Request) -> tuple[Any, ...]:
    r = request
    return r.preset, r.scheduler, r.timesteps, r.num_inference_steps, r.guidance_scale


def refusal(model: str = "tiny", **options: Any) -> str:
    with pytest.raises(RequestError) as error:
        Request.of("a red circle", model, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_adapter_of_a_preset_is_not_given_again(cwd: Path) -> None:
    write(cwd / "red.safetensors", diffusers_keys(factors()))
    (cwd / "own.toml").write_text("[quick]\nlora = 'red.safetensors@0.5'\nsteps = 4")
    with pytest.raises(RequestError) as refusal:
        Request.of("a red circle", "tiny", preset="own.toml:quick", lora="red.safetensors")
    assert str(refusal.value) == (
        "red.safetensors is part of preset quick, with weight 0.5. Leave out"
        ' lora="red.safetensors", or preset="quick".'
    )


def test_paths_of_a_preset_never_start_at_the_working_directory(cwd: Path) -> None:
    write(cwd / "red.safetensors", diffusers_keys(factors()))
    (cwd / "presets").mkdir()
    file = cwd / "presets" / "own.toml"
    for lora in ("red.safetensors@0.5", "./red.safetensors", "loras/red.safetensors"):
        file.write_text(f"[quick]\nlora = '{lora}'")
        with pytest.raises(CheckpointError, match=f"No LoRA at {cwd / 'presets'}"):
            Request.of("a red circle", "tiny", preset=f"{file}:quick")


def test_tdm_is_its_authors_recipe() -> None:
    tdm = PRESETS["tdm"]
    assert (tdm.models, tdm.lora) == (("2b",), ("Luo-Yihong/TDM_CogVideoX-2B_LoRA",))
    assert tdm.settings == {
        "scheduler": "ddim",
        "timesteps": (999, 856, 665, 399),
        "num_inference_steps": 4,
        "guidance_scale": 1.0,
    }
    assert "not run with their weights" in tdm.description


def test_preset_sets_the_options_of_a_request(presets: Any) -> None:
    file = presets()
    quick = Request.of("a red circle", "tiny", preset=f"{file}:quick", seed=1)
    typed = Request.of(
        "a red circle", "tiny", timesteps="999,749,499,249", guidance_scale=1, seed=1
    )
    assert settings(quick) == ("quick", "ddim", (999, 749, 499, 249), 4, 1)
    assert replace(quick, from_preset=None) == typed == replace(typed).checked()
    assert quick.checked() == quick
    assert settings(quick.without_preset()) == ("", "ddim", (), 20, 2.5)
    # What it does not set is the request's own; the model's name may be any of its names.
    bare = Request.of("a fox", "5b", preset=f"{file}:bare", guidance_scale=3)
    assert settings(bare) == ("bare", "dpm", (), 8, 3)


def test_option_of_the_same_value_does_not_contradict(presets: Any) -> None:
    same = {"steps": 4, "guidance_scale": 1.0, "scheduler": "ddim", "timesteps": np.array(
        [999, 749, 499, 249])}  # fmt: skip
    assert Request.of("a red circle", "tiny", preset=f"{presets()}:quick", **same).preset == "quick"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 8}, "--num-inference-steps 8 contradicts preset quick, which sets"
         " --num-inference-steps 4."),
        ({"scheduler": "dpm"}, "--scheduler dpm contradicts preset quick, which sets"
         " --scheduler ddim."),
        ({"guidance_scale": 6.0}, "--guidance-scale 6 contradicts preset quick, which sets"
         " --guidance-scale 1."),
        ({"timesteps": (999, 1)}, "--timesteps 999,1 contradicts preset quick, which sets"
         " --timesteps 999,749,499,249."),
        ({"scheduler": "dmp"}, "Unknown scheduler 'dmp'. Did you mean 'dpm'?"),
        ({"guidance_scale": "1"}, "guidance_scale='1' is not a number"),
        ({"steps": np.array([4, 4])}, "is not a whole number"),
        ({"model": "2b"}, "quick is for tiny: add --model tiny"),
    ],
)  # fmt: skip
def test_contradicting_option_is_refused_with_both_values(
    presets: Any, options: dict[str, Any], message: str
) -> None:
    assert as_python(message) in refusal(preset=f"{presets()}:quick", **options)


def test_timesteps_contradict_steps_and_scheduler_of_a_preset(presets: Any) -> None:
    file = presets("[few]\nsteps = 5\n[noisy]\nscheduler = 'dpm'\n[calm]\nguidance_scale = 1")
    message = "--timesteps 999,1 contradicts preset few, which sets --num-inference-steps 5."
    assert as_python(message) in refusal(preset=f"{file}:few", timesteps=(999, 1))
    message = "--timesteps 999,1 contradicts preset noisy, which sets --scheduler dpm."
    assert as_python(message) in refusal(preset=f"{file}:noisy", timesteps=(999, 1))
    calm = Request.of("a red circle", "tiny", preset=f"{file}:calm", timesteps=(999, 1))
    assert settings(calm) == ("calm", "ddim", (999, 1), 2, 1)
    assert settings(calm.without_preset().checked()) == ("", "ddim", (999, 1), 2, 2.5)


def test_replaced_values_are_checked_against_the_preset(presets: Any) -> None:
    quick = Request.of("a red circle", "tiny", preset=f"{presets()}:quick")
    with pytest.raises(RequestError, match="guidance_scale=6 contradicts preset quick"):
        replace(quick, guidance_scale=6).checked()
    with pytest.raises(RequestError, match=r"do not descend\. Nearest: timesteps=999,1\."):
        replace(quick.without_preset(), timesteps=(1, 999)).checked()


def test_preset_never_chooses_the_model() -> None:
    assert refusal(preset="tdm").startswith('tdm is for 2b: add model="2b"')
    assert refusal("5b", preset="TDM").startswith('tdm is for 2b: add model="2b"')


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timesteps": (749, 999)}, "do not descend. Nearest: timesteps=999,749."),
        ({"timesteps": (999, 999)}, "do not descend. Nearest: timesteps=999."),
        ({"timesteps": (1000, 5)}, "must be 0 to 999, not 1000. Nearest: timesteps=999,5."),
        ({"timesteps": "999,-1"}, "must be 0 to 999, not -1. Nearest: timesteps=999,0."),
        ({"timesteps": [10**5000]}, "must be 0 to 999, not 1000000000. Nearest: timesteps=999."),
        ({"timesteps": []}, "lists no timesteps"),
        ({"timesteps": ""}, "is not a list of whole numbers"),
        ({"timesteps": "999;749"}, "is not a list of whole numbers"),
        ({"timesteps": [999.0]}, "is not a list of whole numbers"),
        ({"timesteps": [True]}, "is not a list of whole numbers"),
        ({"timesteps": 999}, "is not a list of whole numbers"),
        ({"timesteps": {999, 749}}, "is not a list of whole numbers"),
        ({"timesteps": b"999"}, "is not a list of whole numbers"),
        ({"timesteps": (999, 1), "scheduler": "dpm"}, "need --scheduler ddim, not dpm"),
        ({"timesteps": (999, 1), "steps": 4}, "The number of timesteps is 2 (999,1), but"),
        ({"preset": "tmd"}, "Unknown preset 'tmd'. Did you mean 'tdm'? Choose from: tdm."),
        ({"preset": 0}, "preset=0 is not text"),
        ({"preset": np.array([1, 2])}, "is not text"),
        ({"preset": 4}, "preset=4 is not text"),
        ({"preset": "nowhere.toml:quick"}, "No presets file at nowhere.toml"),
    ],
)
def test_invalid_timesteps_and_presets_are_one_line(options: dict[str, Any], message: str) -> None:
    assert as_python(message) in refusal(**options)


def test_timesteps_take_ddim_whatever_the_models_scheduler() -> None:
    request = Request.of("a fox", "5b", timesteps=range(999, 0, -333))
    assert settings(request) == ("", "ddim", (999, 666, 333), 3, 6.0)
    assert not request.use_dynamic_cfg


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no presets"),
        ("[quick", "is not valid TOML"),
        ("[quick]\nsteps = 4\nsteps = 5", "is not valid TOML"),
        ("[quick]\nsteps = 4\n[quick]\nsteps = 5", "is not valid TOML"),
        (b"\xff\xfe", "cannot be read ("),
        ("x = " + "[" * 5000, "presets.toml"),
        ("steps = 4", "steps = 4 is outside a preset"),
        ("[quick]", "preset 'quick' sets nothing"),
        ('[quick]\ndescription = "x"', "preset 'quick' sets nothing"),
        ("[tdm]\nsteps = 4", "cogmagic has a preset of that name"),
        ('["a b"]\nsteps = 4', "letters, digits, hyphens"),
        ("[quick]\nstep = 4", "unknown key 'step'. Did you mean 'steps'? Keys: models, lora,"),
        ("[quick]\nwidth = 720", "unknown key 'width'"),
        ("[my.quick]\nsteps = 4", "unknown key 'quick'"),
        ("[quick]\nsteps = 4.0", "num_inference_steps=4.0 is not a whole number"),
        ("[quick]\nsteps = 0", "must be 1 to 1000"),
        ("[quick]\nsteps = true", "is not a whole number"),
        ("[quick]\nsteps = 4\nnum_inference_steps = 4", "stands for num_inference_steps"),
        ('[quick]\nguidance_scale = "1"', "guidance_scale='1' is not a number"),
        ("[quick]\nguidance_scale = nan", "must be 1 (no guidance) to 20"),
        ("[quick]\nguidance_scale = 0", "must be 1 (no guidance) to 20"),
        ('[quick]\nscheduler = "dmp"', "Unknown scheduler 'dmp'. Did you mean 'dpm'?"),
        ("[quick]\nscheduler = 1", "is not text"),
        ("[quick]\nscheduler = []", "is not text"),
        ("[quick]\ntimesteps = [1, 999]", "do not descend"),
        ("[quick]\ntimesteps = []", "lists no timesteps"),
        ('[quick]\ntimesteps = [999]\nscheduler = "dpm"', "need --scheduler ddim"),
        (
            "[quick]\ntimesteps = [999]\nsteps = 4",
            "The number of timesteps is 1 (999), but",
        ),
        ('[quick]\nsteps = 4\nmodels = ["5bb"]', "Unknown model '5bb'. Did you mean '5b'?"),
        ("[quick]\nsteps = 4\nmodels = 5", "models = 5 is neither a text nor a list of texts"),
        ('[quick]\nsteps = 4\nmodels = [""]', "is neither a text nor a list of texts"),
        ("[quick]\nlora = 1", "lora = 1 is neither a text nor a list of texts"),
        ('[quick]\nlora = "a@heavy"', "is not a finite number"),
        ("[quick]\nsteps = 4\ndescription = 1", "The description must be text, not int"),
    ],
)
def test_bad_file_is_one_line_that_names_it(presets: Any, text: str | bytes, message: str) -> None:
    error = refusal(preset=f"{presets(text)}:quick")
    assert as_python(message) in error
    assert "presets.toml" in error


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "large.toml").write_text("#" * 2**21)
    assert "it is not a file" in refusal(preset=f"{tmp_path}/folder.toml:quick")
    assert "more than 1,048,576 bytes" in refusal(preset=f"{tmp_path}/large.toml:quick")
    assert "cannot be read" in refusal(preset="a\0.toml:quick")
    with pytest.raises(RequestError, match="does not end in"):
        read_presets(tmp_path / "presets.json")


def test_name_in_a_file_is_found_or_refused_with_the_nearest(presets: Any) -> None:
    file = presets(b"\xef\xbb\xbf" + QUICK.encode())  # editors on Windows write this mark
    assert find_preset(f"{file}:quick").description == "four steps"
    assert "has no preset 'quik'. Did you mean 'quick'? Choose from: quick, bare, tdm" in refusal(
        preset=f"{file}:quik"
    )
    assert f'is a file of presets. Choose from: quick, bare, tdm; for example preset="{file}' in (
        refusal(preset=file)
    )


def test_bare_names_are_in_the_configured_file() -> None:
    file = r"C:\my presets\few.toml"
    assert in_file("quick", file) == rf"{file}:quick"
    assert in_file("tdm", file) == "tdm"
    assert in_file("other.toml:quick", file) == "other.toml:quick"
    assert in_file("quick", "") == "quick"


def test_paths_in_a_file_start_at_its_folder(presets: Any, tmp_path: Path) -> None:
    (tmp_path / "red.safetensors").touch()
    (tmp_path / "my model").mkdir()
    text = """[quick]
    models = ["THUDM/CogVideoX-2b", "CogVideoX-5b", "my model", "owner/name"]
    lora = ["red.safetensors@0.5", "red", "owner/name/file.safetensors@2", "red.safetensors@1"]
    """
    quick = find_preset(f"{presets(text)}:quick")
    red = str(tmp_path / "red.safetensors")
    assert quick.models == ("2b", "5b", str((tmp_path / "my model").resolve()), "owner/name")
    assert quick.lora == (
        f"{red}@0.5", str(tmp_path / "red"), "owner/name/file.safetensors@2", red
    )  # fmt: skip


def test_documented_file_is_read(tmp_path: Path) -> None:
    lines = (ROOT / "docs" / "presets.md").read_text().partition("    [quick]\n")[2].splitlines()
    (tmp_path / "my-finetune").mkdir()
    file = tmp_path / "presets.toml"
    file.write_text("\n".join(["[quick]", *takewhile(str.strip, lines)]))
    quick = read_presets(file)["quick"]
    assert quick.models == ("5b", str((tmp_path / "my-finetune").resolve()))
    assert quick.settings["timesteps"] == (999, 749, 499, 249)
    assert all((quick.lora, quick.description, quick.recipe))
