"""Weight files: the ones that the loaders take, and those that hold no plain weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cogmagic import CheckpointError
from cogmagic._models.checkpoints.folder import check_folder
from cogmagic._models.checkpoints.weights import weight_files
from cogmagic._models.find import find_model
from tests.helpers.checkpoints import (
    Tensors,
    edit_config,
    edit_weights,
    shard_weights,
    weights_file,
)

QUANTISED = Path(__file__).parent / "quantised"


@pytest.fixture
def copy(toy: Path, tmp_path: Path) -> Path:
    """A copy of the toy checkpoint that a test may damage."""
    return Path(shutil.copytree(toy, tmp_path / "copy"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("text_encoder.bitsandbytes_int8", r"those of bitsandbytes: I8 and U8 .*5: .*\.SCB"),
        ("text_encoder.bitsandbytes_nf4", r"those of bitsandbytes: U8 .*absmax"),
        ("text_encoder.torchao_int8", r"those of torchao: I8 .*_weight_qdata"),
        ("text_encoder.torchao_fp8", r"those of torchao: scales .*6: .*_weight_scale"),
        ("transformer.bitsandbytes_layers", r"those of bitsandbytes: I8 and U8"),
        ("transformer.torchao_int8", r"those of torchao: I8"),
        ("transformer.torchao_fp8", r"those of torchao: scales"),
        ("transformer.quanto_int8", r"those of optimum-quanto: I8 .*\.weight\._data"),
        ("transformer.quanto_fp8", r"those of optimum-quanto: scales .*input_scale"),
        ("transformer.quanto_int4", r"those of optimum-quanto: U8"),
        ("transformer.q4_0.gguf", "is a GGUF file, which diffusers cannot load"),
    ],
)
def test_files_written_by_quantising_libraries_are_refused(
    copy: Path, name: str, message: str
) -> None:
    file = QUANTISED / (name if name.endswith("gguf") else f"{name}.safetensors")
    shutil.copy(file, weights_file(copy, name.partition(".")[0]))
    with pytest.raises(CheckpointError, match=message) as error:
        find_model(str(copy))
    assert "Use a copy in bfloat16, float16 or float32, such as --model 5b;" in str(error.value)


LINEAR = "transformer_blocks.0.attn1.to_q.weight"


def beside(*names: str, of: str = "float8_e4m3fn") -> Callable[[Tensors], None]:
    """An edit that stores a layer's weight in a type, with tensors of these names beside it."""

    def edit(weights: Tensors) -> None:
        weights[LINEAR] = weights[LINEAR].to(getattr(torch, of))
        for name in names:
            weights[name.replace("*", LINEAR.removesuffix(".weight"))] = torch.ones(1)

    return edit


def instead(*names: str, of: str = "int32") -> Callable[[Tensors], None]:
    """An edit that stores tensors of these names in place of a layer's weight."""

    def edit(weights: Tensors) -> None:
        weight = weights.pop(LINEAR)
        for name in names:
            key = name.replace("*", LINEAR.removesuffix(".weight"))
            weights[key] = weight[:4, :4].to(getattr(torch, of))

    return edit


LAYOUTS = {
    # ComfyUI, comfy/utils.py convert_old_quants and comfy/ops.py: the marker and the scales of
    # "fp8_scaled" files, the older and the newer names.
    "comfy marker": (beside("scaled_fp8"), "those of ComfyUI: scales"),
    "comfy old": (beside("*.scale_weight", "*.scale_input"), "those of ComfyUI: scales .*2: "),
    "comfy new": (beside("*.weight_scale", "*.comfy_quant"), "those of ComfyUI: scales"),
    # compressed-tensors, ModelOpt, FBGEMM and transformers' fine-grained fp8.
    "weight_scale": (beside("*.weight_scale"), "plain weights: scales and similar tensors .1: "),
    "two scales": (beside("*.weight_scale_2", "*.input_scale"), "plain weights: scales"),
    "inverse": (beside("*.weight_scale_inv"), "plain weights: scales"),
    "scales of e5m2": (beside("*.weight_scale", of="float8_e5m2"), "plain weights: scales"),
    # AutoGPTQ and AutoAWQ; compressed-tensors' pack-quantized; HQQ.
    "GPTQ": (instead("*.qweight", "*.qzeros", "*.scales", "*.g_idx"), "those of GPTQ or AWQ: I32"),
    "packed": (instead("*.weight_packed", "*.weight_scale"), "those of compressed-tensors: I32"),
    "HQQ": (instead("*.W_q", "*.scale", "*.zero", of="uint8"), "those of HQQ: U8"),
    # Kijai's GGUF blocks in safetensors; MXFP4's scales; int8 without a word.
    "blocks": (instead("*.weight", of="uint8"), "plain weights: U8 tensors .1: "),
    "int8": (instead("*.weight", of="int8"), "plain weights: I8"),
    "int64": (instead("*.weight", of="int64"), "plain weights: I64"),
    "bool": (instead("*.weight", of="bool"), "plain weights: BOOL"),
    "complex": (instead("*.weight", of="complex64"), "plain weights: C64"),
    "E8M0": (instead("*.weight", of="float8_e8m0fnu"), "plain weights: F8_E8M0"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_that_need_scales_are_refused(copy: Path, name: str) -> None:
    edit, message = LAYOUTS[name]
    edit_weights(copy, "transformer", edit)
    with pytest.raises(CheckpointError, match=message):
        find_model(str(copy))


def test_four_bit_floats_are_refused(copy: Path) -> None:
    def pack(weights: Tensors) -> None:
        weights[LINEAR] = weights[LINEAR].to(torch.uint8).view(torch.float4_e2m1fn_x2)

    edit_weights(copy, "transformer", pack)
    with pytest.raises(CheckpointError, match="plain weights: F4 tensors"):
        find_model(str(copy))


def test_formats_in_the_metadata_are_refused(copy: Path) -> None:
    metadata = {"_quantization_metadata": json.dumps({"layers": {"a": {"format": "mxfp8"}}})}
    edit_weights(copy, "transformer", beside(), metadata)
    with pytest.raises(CheckpointError, match="_quantization_metadata in the metadata"):
        find_model(str(copy))


def test_scales_in_another_shard_are_refused(copy: Path) -> None:
    def move(shards: list[Tensors], listed: dict[str, str]) -> None:
        shards[0] |= {k: t.to(torch.float8_e4m3fn) for k, t in shards[0].items()}
        shards[1]["proj_out.scale_weight"] = torch.ones(1)

    shard_weights(copy, "transformer", move)
    with pytest.raises(CheckpointError, match=r"scales .*1: proj_out\.scale_weight"):
        find_model(str(copy))


@pytest.mark.parametrize("kind", ["float64", "float32", "bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_plain_weights_are_taken(copy: Path, kind: str) -> None:
    edit_weights(
        copy, "transformer", lambda w: {k: t.to(getattr(torch, kind)) for k, t in w.items()}
    )
    stored = find_model(str(copy)).stored.transformer
    assert stored == (kind if kind in ("float32", "bfloat16") else None)


def test_gguf_alone_is_refused(copy: Path) -> None:
    weights_file(copy, "transformer").unlink()
    shutil.copy(QUANTISED / "transformer.q4_0.gguf", copy / "transformer")
    with pytest.raises(CheckpointError, match="has only GGUF weights"):
        find_model(str(copy))


@pytest.mark.parametrize("component", ["text_encoder", "transformer"])
def test_index_that_does_not_describe_its_files_is_refused(copy: Path, component: str) -> None:
    def absent(shards: list[Tensors], listed: dict[str, str]) -> None:
        del shards[0][min(shards[0])]

    shard_weights(copy, component, absent)
    with pytest.raises(CheckpointError, match="names tensors that none of its files holds"):
        check_folder(copy)


@pytest.mark.parametrize("component", ["text_encoder", "transformer"])
def test_tensor_in_two_files_is_refused(copy: Path, component: str) -> None:
    def twice(shards: list[Tensors], listed: dict[str, str]) -> None:
        key = min(shards[0])
        shards[1][key] = shards[0][key] * 2

    shard_weights(copy, component, twice)
    with pytest.raises(
        CheckpointError, match=r"00001-of-00002.* and .*00002-of.* both hold [\w.]+\."
    ):
        check_folder(copy)


def test_index_without_metadata_is_refused(copy: Path) -> None:
    shard_weights(copy, "vae")
    index = next((copy / "vae").glob("*.index.json"))
    index.write_text(json.dumps({"weight_map": json.loads(index.read_text())["weight_map"]}))
    with pytest.raises(CheckpointError, match='lacks its "metadata"'):
        check_folder(copy)


def test_index_without_its_files_counts_where_the_loader_takes_it(copy: Path) -> None:
    for component in ("text_encoder", "transformer"):
        shard_weights(copy, component, keep=True)
        for shard in (copy / component).glob("*-of-*"):
            shard.unlink()
    assert weight_files(copy, "text_encoder") == [weights_file(copy, "text_encoder")]
    message = r"transformer/.*-00001-of-00002\.safetensors is missing \(the folder has diffusion_"
    with pytest.raises(CheckpointError, match=message):
        check_folder(copy)


def test_file_name_that_the_system_cannot_take_is_one_line(copy: Path) -> None:
    shard_weights(copy, "vae")
    index = next((copy / "vae").glob("*.index.json"))
    index.write_text('{"weight_map": {"a": "%s.safetensors"}}' % ("x" * 300))
    with pytest.raises(CheckpointError, match=r"cannot be read .*File name too long"):
        check_folder(copy)


def test_weights_under_another_name_are_named(copy: Path) -> None:
    file = weights_file(copy, "transformer")
    file.rename(file.with_name("model.safetensors"))  # as some files on the hub
    message = r"model\.safetensors is missing \(the folder has model\.safetensors instead\)"
    with pytest.raises(CheckpointError, match=message):
        check_folder(copy)


def name_other_file(base: Path) -> None:
    edit_config(base.parent, base.name, transformers_weights="x.safetensors")


def add_distributed_checkpoint(base: Path) -> None:
    name = "shard-00000-model-00000-of-00001.safetensors"
    shutil.copy(base / "model.safetensors", base / name)


def add_adapter(base: Path) -> None:
    (base / "adapter_config.json").write_text("{}")


@pytest.mark.parametrize(
    ("add", "message"),
    [
        (name_other_file, 'names "x.safetensors" as its weights'),
        (add_distributed_checkpoint, "a distributed checkpoint"),
        (add_adapter, "an adapter"),
    ],
    ids=["named", "distributed", "adapter"],
)
def test_other_sources_of_a_text_encoder_are_refused(
    copy: Path, add: Callable[[Path], None], message: str
) -> None:
    """transformers would load these instead of the file that was checked, or on top of it."""
    add(copy / "text_encoder")
    with pytest.raises(CheckpointError, match=message):
        check_folder(copy)
