"""Files that are no plain LoRA of CogVideoX: each is refused in one line that says what to do."""

from __future__ import annotations

import json
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cogmagic import CheckpointError
from cogmagic._models.adapters.adapter import Adapter
from tests.helpers.adapters import diffusers_keys, factors, named, write

STEM = "transformer.transformer_blocks.0.attn1.to_q"

Tensors = dict[str, Any]


def changed(**changes: Any) -> Callable[[Tensors], Tensors]:
    """The tensors with others for layer ``to_q`` of the first block; None removes one."""

    def change(tensors: Tensors) -> Tensors:
        new = {f"{STEM}.{name.replace('__', '.')}": value for name, value in changes.items()}
        return {n: t for n, t in (tensors | new).items() if t is not None}

    return change


def added(name: str, *shape: int) -> Callable[[Tensors], Tensors]:
    """The tensors and one more."""
    return lambda tensors: tensors | {name: torch.ones(shape)}


def only(*names: str) -> Callable[[Tensors], Tensors]:
    """Other tensors instead."""
    return lambda _: {name: torch.ones(4, 4) for name in names}


FLUX = "transformer.single_transformer_blocks.0.attn.to_q.lora_{}.weight"

WAN = "diffusion_model.blocks.0.cross_attn.q.lora_{}.weight"


BROKEN: dict[str, tuple[Callable[[Tensors], Tensors], str]] = {
    "no tensors": (lambda _: {}, "holds no tensors"),
    "no LoRA": (only("a", "b", "c", "d"), r"none of its 4 tensors \(such as a, b, c\) is a factor"),
    "alphas alone": (lambda _: {f"{STEM}.alpha": torch.ones(())}, "holds no LoRA"),
    "whole model": (only(STEM.removeprefix("transformer.") + ".weight"), "whole model .* --model"),
    "whole model of ComfyUI": (
        only("model.diffusion_model.transformer_blocks.0.ff.net.2.bias"),
        "holds a whole model",
    ),
    "whole SAT model": (
        only("model.diffusion_model.transformer.layers.0.attention.dense.weight"),
        "holds a whole model",
    ),
    "LoRA of Flux": (
        only(FLUX.format("A"), FLUX.format("B")),
        "is not a LoRA of CogVideoX: 2 of its 2 tensors .*single_transformer",
    ),
    "LoRA of Wan": (only(WAN.format("A"), WAN.format("B")), "is not a LoRA of CogVideoX"),
    "kohya's LoRA of SD": (
        only("lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight"),
        "is not a LoRA of CogVideoX",
    ),
    "LoRA of a norm": (
        only("transformer.transformer_blocks.0.attn1.norm_q.lora_A.weight"),
        "is not a LoRA of CogVideoX",
    ),
    "left-over keys": (
        lambda t: t | {f"x{i}": torch.ones(1) for i in range(5)},
        "has 5 of 69 tensors that are not part of a LoRA, such as x0, x1, x2",
    ),
    "base weights beside it": (
        added(f"{STEM}.base_layer.weight", 4, 4),
        "has 1 of 65 tensors that are not part of a LoRA",
    ),
    "down without up": (changed(lora_B__weight=None), "to_q has .*lora_A.*, but no lora_B"),
    "up without down": (changed(lora_A__weight=None), "to_q has .*lora_B.*, but no lora_A"),
    "alpha alone": (
        added("transformer_blocks.0.ff.net.2.alpha", 1),
        "ff.net.2 has .*alpha, but no lora_A or down and no lora_B or up",
    ),
    "two ranks": (
        changed(lora_A__weight=torch.ones(8, 192)),
        r"have ranks 8 and 4 \(\[8, 192\] and \[192, 4\]\)",
    ),
    "rank 0": (
        changed(lora_A__weight=torch.ones(0, 192), lora_B__weight=torch.ones(192, 0)),
        r"are empty .*rank 1 or more",
    ),
    "three sides": (changed(lora_A__weight=torch.ones(4, 192, 1)), "have the shapes"),
    "scalar": (changed(lora_A__weight=torch.ones(())), r"have the shapes \[\] and"),
    "convolution": (
        changed(lora_A__weight=torch.ones(4, 192, 1, 1), lora_B__weight=torch.ones(192, 4, 1, 1)),
        "have the shapes",
    ),
    "float64": (changed(lora_A__weight=torch.ones(4, 192).double()), "dtype F64, .*F32, F16, BF16"),
    "int8": (changed(lora_A__weight=torch.ones(4, 192).char()), "has dtype I8"),
    "fp8": (
        changed(lora_A__weight=torch.ones(4, 192).to(torch.float8_e4m3fn)),
        r"has dtype F8_E4M3 \(8-bit floats\)",
    ),
    "DoRA": (changed(lora_magnitude_vector=torch.ones(192)), "DoRA .*Save it without DoRA"),
    "kohya's DoRA": (added("lora_unet_proj_out.dora_scale", 1), "holds DoRA"),
    "LoHa": (added("lora_unet_proj_out.hada_w1_a", 1), "holds LoHa .*as a plain LoRA"),
    "LoKr": (added("lora_unet_proj_out.lokr_w1", 1), "holds LoKr"),
    "Tucker": (added("lora_unet_proj_out.lora_mid.weight", 1), "holds LoCon"),
    "diff": (added("diffusion_model.proj_out.diff", 1), r"whole differences of weights \(diff\)"),
    "diff_b": (added("diffusion_model.proj_out.diff_b", 1), "whole differences"),
    "OFT": (added("transformer.proj_out.oft_blocks", 1), "holds OFT"),
    "LoRA bias": (changed(lora_B__bias=torch.ones(192)), "a LoRA with biases .*lora_bias"),
    "text encoder": (
        added("text_encoder.encoder.block.0.layer.0.SelfAttention.q.lora_A.weight", 4, 8),
        "a LoRA of the text encoder",
    ),
    "kohya's text encoder": (added("lora_te_encoder_block_0.lora_down.weight", 1), "text encoder"),
    "two prefixes": (
        added("transformer_blocks.0.attn1.to_q.lora_A.weight", 4, 192),
        "two tensors for one layer: .* and .*Save each adapter in a file of its own",
    ),
    "two formats": (
        added("lora_unet_transformer_blocks_0_attn1_to_q.lora_down.weight", 4, 192),
        "two tensors for one layer",
    ),
    "two adapters": (
        lambda t: t | {n.replace(".weight", ".other.weight"): x for n, x in t.items()},
        "two tensors for one layer",
    ),
    "alpha of two numbers": (added(f"{STEM}.alpha", 2), r"is not one number, but F32 \[2\]"),
    "alpha NaN": (changed(alpha=torch.tensor(float("nan"))), "alpha of .* is not finite"),
    "alpha infinite": (changed(alpha=torch.tensor(float("inf"))), "is not finite"),
    "alpha true": (changed(alpha=torch.tensor(True)), "is not one number, but BOOL"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_tensors_of_other_kinds_are_refused(tmp_path: Path, name: str) -> None:
    change, message = BROKEN[name]
    file = write(tmp_path / "red.safetensors", change(diffusers_keys(factors())))
    refused(file, message)


def refused(file: Path, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as raised:
        Adapter.of(str(file))
    text = str(raised.value)
    assert "\n" not in text
    assert len(text) < 700
    assert str(file) in text or file.name in text
    assert re.search(r"\. [A-Z][^.]*", text)  # what to do


def test_zero_alphas_change_nothing(tmp_path: Path) -> None:
    keys = named(factors(), "lora_unet_{flat}.lora_{down}.weight")
    keys |= {f"{name.partition('.')[0]}.alpha": torch.zeros(()) for name in keys}
    refused(write(tmp_path / "red.safetensors", keys), "alpha of all 32 layers is 0")


def test_sat_part_of_another_number_is_refused(tmp_path: Path) -> None:
    name = "transformer.layers.0.attention.dense.matrix_{}.1"
    keys = {name.format(letter): torch.ones(4, 4) for letter in "AB"}
    refused(write(tmp_path / "red.safetensors", keys), "is not a LoRA of CogVideoX")


def _bytes(file: Path, content: bytes) -> Path:
    file.write_bytes(content)
    return file


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 132\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("red.safetensors", b"", r"is empty \(0 bytes\)"),
        ("red.safetensors", POINTER, "is a Git LFS pointer.*git lfs pull"),
        ("red.safetensors", b"<!DOCTYPE html><html>", "is a web page"),
        ("red.safetensors", b"GGUF" + bytes(60), "is a GGUF file"),
        ("red.safetensors", b"abc", "is cut short or damaged"),
        ("red.safetensors", bytes(64), "is cut short or damaged"),
        ("red.safetensors", b"\xff" * 64, "is cut short or damaged"),
        ("red.safetensors", pickle.dumps({"a": 1}), "is pickled.*Use a .safetensors file"),
        ("red.pt", b"anything", "is pickled"),
        ("red.BIN", b"anything", "is pickled"),
        ("red.ckpt", b"anything", "is pickled"),
    ],
)
def test_files_of_other_formats_are_refused(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    refused(_bytes(tmp_path / name, content), message)


def test_renamed_torch_file_is_a_pickle(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "red.safetensors")
    assert zipfile.is_zipfile(tmp_path / "red.safetensors")
    refused(tmp_path / "red.safetensors", "is pickled")


def test_header_length_that_looks_like_a_pickle_is_read(tmp_path: Path) -> None:
    for padding in range(0, 300, 8):  # the length's first byte takes every value
        metadata = {"note": "x" * padding}
        Adapter.of(write(tmp_path / "red.safetensors", diffusers_keys(factors()), metadata))


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_truncated_files_are_refused(tmp_path: Path, share: float) -> None:
    file = write(tmp_path / "red.safetensors", diffusers_keys(factors()))
    content = file.read_bytes()
    refused(_bytes(file, content[: int(share * len(content))]), "is cut short or damaged")


FOLDERS: dict[str, tuple[tuple[str, ...], str]] = {
    "empty": ((), "has no .safetensors file"),
    "pickles": (("pytorch_lora_weights.bin",), "pytorch_lora_weights.bin.* is pickled"),
    "several": (("a.safetensors", "b.safetensors"), "has 2 .safetensors files: a.safetensors, b"),
    "both usual": (
        ("adapter_model.safetensors", "pytorch_lora_weights.safetensors"),
        "has 2 .safetensors files",
    ),
    "model": (("model_index.json", "a.safetensors"), "is a whole model, not a LoRA.*--model"),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_folders_without_one_lora_are_refused(tmp_path: Path, name: str) -> None:
    files, message = FOLDERS[name]
    for file in files:
        write(tmp_path / file, diffusers_keys(factors()))
    refused(tmp_path, message)


@pytest.mark.parametrize("name", ["pytorch_lora_weights", "adapter_model", "style"])
def test_folder_stands_for_its_lora(tmp_path: Path, name: str) -> None:
    file = write(tmp_path / f"loras/{name}.safetensors", diffusers_keys(factors()))
    if name != "style":
        write(tmp_path / "loras/optimizer.safetensors", {"a": torch.ones(1)})
    (file.parent / "adapter_config.json").write_text(json.dumps({"r": 4, "lora_alpha": 2}))
    for typed in (str(file.parent), f"{file.parent}/"):
        adapter = Adapter.of(f"{typed}@0.5")
        assert (adapter.file, adapter.weight, adapter.scales) == (file, 0.5, (0.5,))
        assert adapter.name == (file.name if name == "style" else f"loras/{file.name}")


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("nowhere/red.safetensors", "No LoRA at nowhere/red.safetensors"),
        (r"C:\loras\red.safetensors", r"No LoRA at C:\\loras\\red.safetensors"),
        ("x" * 5000, "cannot be read"),
        ("red\0.safetensors", "cannot be read|No LoRA at"),
        ("~nobody_at_all/red.safetensors", "cannot be read .~nobody_at_all is no user's home"),
        ("/dev/null", "is not a file"),
    ],
)
def test_places_without_a_file_are_refused(typed: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        Adapter.of(typed)


def test_web_addresses_are_answered_with_what_to_type() -> None:
    from cogmagic import RequestError

    address = "https://huggingface.co/owner/name/{}/main/sub/red.safetensors?download=true"
    for kind in ("blob", "resolve"):
        with pytest.raises(RequestError, match=r"Type --lora owner/name/sub/red\.safetensors\."):
            Adapter.of(address.format(kind))
    with pytest.raises(RequestError, match=r"Type --lora owner/name\."):
        Adapter.of("https://huggingface.co/owner/name")
    with pytest.raises(RequestError, match="Download the file"):
        Adapter.of("https://civitai.com/api/download/models/1@0.5")
