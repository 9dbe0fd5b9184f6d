"""Checkpoints in a folder: identified, or refused with what is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import cogmagic
from cogmagic import CheckpointError
from cogmagic._models.checkpoints.folder import check_folder
from cogmagic._models.find import find_model
from tests.helpers.checkpoints import weights_file


@pytest.fixture
def broken(toy: Path, tmp_path: Path) -> Path:
    """A copy of the toy checkpoint that a test may damage."""
    return Path(shutil.copytree(toy, tmp_path / "broken"))


def test_folder_without_a_pipeline_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no model_index\.json"):
        find_model(str(tmp_path))
    (tmp_path / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    with pytest.raises(CheckpointError, match="holds a FluxPipeline"):
        find_model(str(tmp_path))
    (tmp_path / "model_index.json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read"):
        find_model(str(tmp_path))


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("vae/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors is"),
        ("text_encoder/config.json", "text_encoder/config.json is missing"),
        ("tokenizer/tokenizer.json", "tokenizer/spiece.model is missing"),
        ("scheduler/scheduler_config.json", "scheduler/scheduler_config.json is missing"),
    ],
)
def test_missing_file_is_named(broken: Path, file: str, message: str) -> None:
    (broken / file).unlink()
    with pytest.raises(CheckpointError) as error:
        check_folder(broken)
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["fp16", "bf16-00001-of-00002"])
@pytest.mark.parametrize("component", ["text_encoder", "transformer", "vae"])
def test_weights_saved_as_a_variant_are_named(broken: Path, component: str, name: str) -> None:
    file = weights_file(broken, component)
    file.rename(file.with_name(f"{file.stem}.{name}.safetensors"))
    message = f"has {component}/{file.stem}.{name}.safetensors in place of .*variants.*variant="
    with pytest.raises(CheckpointError, match=message):
        check_folder(broken)


def test_truncated_weight_file_is_refused(broken: Path) -> None:
    file = broken / "transformer" / "diffusion_pytorch_model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1000])
    with pytest.raises(CheckpointError, match=r"damaged \([\d,]+ bytes: incomplete metadata"):
        check_folder(broken)
    file.write_bytes(b"<html>not found</html>")
    with pytest.raises(CheckpointError, match="22 bytes: header too large"):
        check_folder(broken)


@pytest.mark.parametrize("header", [b"[]", b'{"a": 1}', b'{"a": {"data_offsets": [5, 2]}}', b"{"])
def test_weight_file_with_an_invalid_header_is_refused(broken: Path, header: bytes) -> None:
    file = broken / "vae" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(100))
    with pytest.raises(CheckpointError, match="invalid JSON in header"):
        check_folder(broken)


@pytest.mark.parametrize(
    "files", ["[1]", "{}", '{"a": 5}', '{"a": "a.bin"}', '{"a": "../a.safetensors"}']
)
def test_index_without_names_of_weight_files_is_refused(broken: Path, files: str) -> None:
    index = broken / "vae" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(f'{{"weight_map": {files}}}')
    with pytest.raises(CheckpointError, match="names no safetensors files"):
        check_folder(broken)


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        ("transformer", {"num_layers": 0}, "sets num_layers to 0, but CogVideoX models have 30 or"),
        ("vae", None, "vae/config.json is not a JSON object"),
    ],
)
def test_damaged_configuration_is_one_line(
    broken: Path, part: str, changes: dict[str, object] | None, message: str
) -> None:
    file = broken / part / "config.json"
    whole = json.loads(file.read_text())
    file.write_text("[]" if changes is None else json.dumps(whole | changes))
    with pytest.raises(CheckpointError, match=message) as error:
        cogmagic.plan(model=str(broken), machine=cogmagic.Machine.of("RTX 3060"))
    assert "\n" not in str(error.value)


def test_missing_shard_is_named(broken: Path) -> None:
    base = broken / "transformer"
    index = {"weight_map": {"a": "part-1.safetensors", "b": "part-2.safetensors"}}
    (base / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    (base / "diffusion_pytorch_model.safetensors").rename(base / "part-1.safetensors")
    with pytest.raises(CheckpointError, match=r"transformer/part-2\.safetensors is missing"):
        check_folder(broken)


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".pth", ".ckpt"])
def test_pickled_weights_are_refused(broken: Path, suffix: str) -> None:
    file = broken / "vae" / "diffusion_pytorch_model.safetensors"
    file.rename(file.with_suffix(suffix))
    with pytest.raises(CheckpointError, match=rf"pickled weights \(\{suffix}\), .* never loads"):
        check_folder(broken)


def test_component_of_a_custom_class_is_refused(broken: Path) -> None:
    index = json.loads((broken / "model_index.json").read_text())
    index["transformer"] = ["my_module", "CogVideoXTransformer3DModel"]
    (broken / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="its transformer is"):
        check_folder(broken)
    (broken / "model_index.json").write_text(json.dumps(index | {"tokenizer": [{}, {}]}))
    with pytest.raises(CheckpointError, match="its tokenizer is"):
        check_folder(broken)
