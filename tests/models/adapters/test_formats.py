"""One adapter in the keys of every trainer: the layers are the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cogmagic import CheckpointError
from cogmagic._models.adapters.adapter import Adapter
from tests.helpers.adapters import (
    RANK,
    diffsynth_keys,
    diffusers_keys,
    factors,
    named,
    sat_keys,
    shapes,
    with_alphas,
    write,
)

Write = Callable[[Mapping[str, tuple[Any, Any]]], dict[str, Any]]

KOHYA = "lora_unet__{flat}.lora_{down}.weight"

FORMATS: dict[str, tuple[str, Write]] = {
    "diffusers": ("diffusers", diffusers_keys),
    "diffusers-early": ("diffusers", lambda f: named(f, "transformer.{module}.lora.{down}.weight")),
    "diffusers-linear": (
        "diffusers",
        lambda f: named(f, "transformer.{module}.lora_linear_layer.{down}.weight"),
    ),
    "down-up": ("diffusers", lambda f: named(f, "transformer.{module}.lora_{down}.weight")),
    "bare": ("diffusers", lambda f: named(f, "{module}.lora_{AB}.weight")),
    "comfy": ("ComfyUI", lambda f: named(f, "diffusion_model.{module}.lora_{AB}.weight")),
    "comfy-down-up": ("ComfyUI", lambda f: named(f, "diffusion_model.{module}.lora_{down}.weight")),
    "peft": ("PEFT", lambda f: named(f, "base_model.model.{module}.lora_{AB}.weight")),
    "peft-in-diffusers": (
        "PEFT",
        lambda f: named(f, "transformer.base_model.model.{module}.lora_{AB}.weight"),
    ),
    "default": ("PEFT", lambda f: named(f, "transformer.{module}.lora_{AB}.default.weight")),
    "named": ("PEFT", lambda f: named(f, "{module}.lora_{AB}.red_circle.weight")),
    "named-like-others": (
        "PEFT",
        lambda f: named(f, "{module}.lora_{AB}.soft_text_model_magnitude.weight"),
    ),
    "compiled": ("diffusers", lambda f: named(f, "_orig_mod.{module}.lora_{AB}.weight")),
    "ddp": ("diffusers", lambda f: named(f, "module.transformer.{module}.lora_{AB}.weight")),
    "kohya": ("kohya", lambda f: named(f, "lora_unet_{flat}.lora_{down}.weight")),
    "videox-fun": ("kohya", lambda f: named(f, KOHYA)),
    "sat": ("SAT", sat_keys),
    "diffsynth": ("DiffSynth", diffsynth_keys),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_the_same_layers(tmp_path: Path, name: str) -> None:
    expected = Adapter.of(write(tmp_path / "red.safetensors", diffusers_keys(factors())))
    label, keys = FORMATS[name]
    adapter = Adapter.of(write(tmp_path / "other.safetensors", keys(factors())))
    assert adapter.format == label
    scale = 1 / RANK if name == "sat" else 1.0
    read = {layer.module: replace(layer, down="", up="") for layer in adapter.layers}
    assert read == {x.module: replace(x, down="", up="", scale=scale) for x in expected.layers}


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("sat", "diffsynth")])
def test_every_module_is_read_in_every_format(tmp_path: Path, name: str) -> None:
    everything = factors(("",), model="tiny")
    file = write(tmp_path / "all.safetensors", FORMATS[name][1](everything))
    read = {layer.module: layer.weight_shape for layer in Adapter.of(file).layers}
    assert read == shapes("tiny")


def test_diffsynth_names_of_other_modules_are_read(tmp_path: Path) -> None:
    layers = factors(("norm1.linear", "ff.net.0.proj", "ff.net.2", "text_proj", "linear_1"))
    file = write(tmp_path / "all.safetensors", diffsynth_keys(layers))
    assert {layer.module for layer in Adapter.of(file).layers} == layers.keys()


def test_wrapped_parts_amid_a_name_are_ignored(tmp_path: Path) -> None:
    keys = {
        name.replace(".attn1", "._orig_mod.attn1"): t
        for name, t in diffusers_keys(factors()).items()
    }
    file = write(tmp_path / "red.safetensors", keys)
    assert len(Adapter.of(file).layers) == len(factors())


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64", "int64", "int32"])
@pytest.mark.parametrize("shape", [(), (1,)])
def test_alpha_is_read_in_every_dtype(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    import torch

    alpha = torch.full(shape, 2, dtype=getattr(torch, dtype))
    file = write(tmp_path / "red.safetensors", with_alphas(named(factors(), KOHYA), alpha))
    assert Adapter.of(file).scales == (2 / RANK,)


def config(**values: Any) -> dict[str, str]:
    """The metadata that diffusers stores."""
    return {"lora_adapter_metadata": json.dumps({f"transformer.{k}": v for k, v in values.items()})}


TO_Q = "transformer_blocks.0.attn1.to_q"


@pytest.mark.parametrize(
    ("stored", "scale", "of_to_q"),
    [
        ({"r": 4, "lora_alpha": 2}, 0.5, 0.5),
        ({"r": 4, "lora_alpha": 0.5}, 0.125, 0.125),
        ({"r": 4, "lora_alpha": 2, "use_rslora": True}, 1.0, 1.0),
        ({"r": 4, "lora_alpha": 4, "alpha_pattern": {TO_Q: 1}}, 1.0, 0.25),
        ({"r": 4, "lora_alpha": 4, "alpha_pattern": {r"^transformer_blocks\.0.*q": 1}}, 1.0, 0.25),
        ({"r": 8, "rank_pattern": {"attn1": 2, r"to_(q|k|v)": 4, "to_out.0": 4}}, 2.0, 2.0),
        ({"r": 4}, 2.0, 2.0),  # PEFT's default alpha is 8
        ({"r": 4, "lora_alpha": 2, "alpha_pattern": None, "rank_pattern": {}}, 0.5, 0.5),
    ],
)
@pytest.mark.parametrize("place", ["metadata", "adapter_config.json"])
def test_stored_configuration_gives_each_layer_its_scale(
    tmp_path: Path, stored: dict[str, Any], scale: float, of_to_q: float, place: str
) -> None:
    metadata = config(**stored) if place == "metadata" else None
    file = write(tmp_path / "red.safetensors", diffusers_keys(factors()), metadata)
    if place != "metadata":
        (tmp_path / place).write_text(json.dumps(stored))
    scales = {layer.module: layer.scale for layer in Adapter.of(file).layers}
    assert scales.pop(TO_Q) == of_to_q
    assert set(scales.values()) == {scale}


def test_alpha_tensor_comes_before_metadata_and_metadata_before_the_folder(tmp_path: Path) -> None:
    import torch

    (tmp_path / "adapter_config.json").write_text('{"r": 4, "lora_alpha": 40}')
    layers = factors(("to_q",))
    keys = diffusers_keys(layers) | {f"{TO_Q}.alpha": torch.tensor(1.0)}
    file = write(tmp_path / "red.safetensors", keys, config(r=4, lora_alpha=2))
    scales = {layer.module: layer.scale for layer in Adapter.of(file).layers}
    assert (scales.pop(TO_Q), set(scales.values())) == (0.25, {0.5})


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"r": 8}, r"has rank 8 for transformer_blocks\.0.*, but its tensors have 4"),
        ({"r": 0}, "has r 0, from which no scale"),
        ({"r": "4"}, "has r '4', from which"),
        ({"r": 4, "lora_alpha": None}, "has lora_alpha None"),
        ({"r": 4, "lora_alpha": float("nan")}, "has lora_alpha nan"),
        ({"r": 4, "lora_alpha": 0}, "changes nothing: the alpha of all 32 layers is 0"),
        ({"r": 4, "alpha_pattern": [1]}, r"has alpha_pattern \[1\]"),
        ({"r": 4, "alpha_pattern": {"(a+)+$": 1}}, "has alpha_pattern"),
        ({"r": 4, "alpha_pattern": {"(": 1}}, "has alpha_pattern"),
        ({"r": 4, "alpha_pattern": {"to_q": True}}, "has alpha_pattern True"),
        ({"r": 4, "rank_pattern": {"to_q": 0}}, "has rank_pattern 0"),
        ({"r": 4, "use_dora": True}, "describes DoRA.*use_dora=False"),
        ({"r": 4, "peft_type": "LOHA"}, "describes LOHA, but cogmagic applies LoRA only"),
        ({"r": 4, "init_lora_weights": "pissa_niter_4"}, "changed the base's weights"),
        ({"r": 4, "init_lora_weights": "olora"}, "changed the base's weights"),
    ],
)
def test_configuration_without_a_scale_is_refused(
    tmp_path: Path, stored: dict[str, Any], message: str
) -> None:
    file = write(tmp_path / "red.safetensors", diffusers_keys(factors()), config(**stored))
    with pytest.raises(CheckpointError, match=message):
        Adapter.of(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "is not JSON"), ("[1]", "is not a JSON object"), ("[" * 10**5, "is not JSON")],
)
def test_malformed_metadata_is_refused(tmp_path: Path, text: str, message: str) -> None:
    metadata = {"lora_adapter_metadata": text}
    file = write(tmp_path / "red.safetensors", diffusers_keys(factors()), metadata)
    with pytest.raises(CheckpointError, match=message):
        Adapter.of(file)


def test_metadata_of_another_component_does_not_count(tmp_path: Path) -> None:
    metadata = {"lora_adapter_metadata": '{"text_encoder.r": 8, "text_encoder.lora_alpha": 1}'}
    file = write(tmp_path / "red.safetensors", diffusers_keys(factors()), metadata)
    assert Adapter.of(file).scales == (1.0,)
