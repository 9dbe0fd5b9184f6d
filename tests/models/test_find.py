"""A model by name, hub id or folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cogmagic import CheckpointError, RequestError
from cogmagic._models.find import embedded_folder, find_model
from tests.helpers.checkpoints import save_checkpoint


def test_models_are_found_by_short_name_and_hub_id() -> None:
    assert find_model("5b").source == "zai-org/CogVideoX-5b"
    assert find_model("THUDM/CogVideoX-5b").source == "THUDM/CogVideoX-5b"
    assert find_model("THUDM/CogVideoX-5b").name == "5b"


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("cogvideox-5b", "5b"), ("CogVideoX-5b", "5b"), ("CogVideoX 5B", "5b"), ("5b-t2v", "5b"),
        ("cogvideox_2b", "2b"), ("CogVideoX-5b-I2V", "5b-i2v"), ("1.5", "1.5-5b"),
        ("v1.5", "1.5-5b"), ("CogVideoX1.5-5B", "1.5-5b"), ("1.5-i2v", "1.5-5b-i2v"),
        ("cogvideox1.5-5b-image-to-video", "1.5-5b-i2v"),
    ],
)  # fmt: skip
def test_parts_of_a_hub_id_name_its_model(name: str, model: str) -> None:
    assert find_model(name).name == model


def test_folder_of_that_name_comes_first(cwd: Path) -> None:
    shutil.copytree(embedded_folder(), cwd / "CogVideoX-5b")
    assert find_model("CogVideoX-5b").source == str(cwd / "CogVideoX-5b")


@pytest.mark.parametrize("name", ["cogvideox", "1.5-2b", "wan", "v", "cogvideox-tiny"])
def test_other_names_stay_unknown(name: str) -> None:
    with pytest.raises(RequestError, match="Unknown model"):
        find_model(name)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("5bb", RequestError, "Did you mean '5b'?"),
        ("./nowhere", CheckpointError, "No folder at ./nowhere"),
        ("/no/such/folder", CheckpointError, "No folder"),
        ("", RequestError, "Unknown model ''"),
        ("void_pass2", RequestError, "cogmagic does not support it; the first pass"),
        ("VOID-pass-2", RequestError, "from noise that is warped along the optical flow."),
        ("netflix/void-model/void_pass2.safetensors", RequestError, "--model void"),
        ("netflix/void", RequestError, "Did you mean 'void'?"),
        ("netflix-void", RequestError, "Did you mean 'void'?"),
        ("~nobody-at-all/x", CheckpointError, "not a usable path (~nobody-at-all is no user's"),
        ("x" * 5000, CheckpointError, "not a usable path"),
    ],
)
def test_unknown_name_is_refused_with_the_nearest(
    name: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as raised:
        find_model(name)
    assert message in str(raised.value)


def test_unlisted_checkpoint_takes_sizes_from_its_configuration(
    toy: Path, toy_i2v: Path, tmp_path: Path
) -> None:
    model = find_model(str(toy))
    assert (model.task, model.width, model.height, model.frames.default) == ("t2v", 96, 96, 17)
    assert model.max_tokens == 16
    assert find_model(str(toy_i2v)).task == "i2v"
    v15 = find_model(str(save_checkpoint(tmp_path / "v15", v15=True)))
    assert (v15.frames.step, v15.fps) == (16, 16)
