"""Quantised components: named by their configurations, before weights are read or downloaded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from cogmagic._models.checkpoints.identify import identify
from tests.helpers.published import refusal, write_published


def method(name: str, **settings: Any) -> dict[str, Any]:
    return {"quant_method": name} | settings


def torchao(config: str, **options: Any) -> dict[str, Any]:
    return method("torchao", quant_type={"default": {"_type": config, "_data": options}})


GROUPS = {"_type": "PerGroup", "_version": 1, "_data": {"group_size": 32}}
E5M2 = {"_type": "torch.dtype", "_data": "float8_e5m2"}


@pytest.mark.parametrize(
    ("part", "settings", "message"),
    [
        ("transformer", method("bitsandbytes", load_in_8bit=True), "the package bitsandbytes"),
        ("text_encoder", method("bitsandbytes", load_in_8bit=True), "the package bitsandbytes"),
        ("text_encoder", {"load_in_4bit": True}, "the package bitsandbytes"),
        ("transformer", method("torchao", quant_type="int8wo"), "the package torchao"),
        ("transformer", torchao("Int4WeightOnlyConfig"), "the package torchao"),
        ("transformer", torchao("Int8DynamicActivationInt8WeightConfig"), "the package torchao"),
        ("transformer", torchao("Int8WeightOnlyConfig", granularity=GROUPS), "a scale per row"),
        ("transformer", torchao("Float8WeightOnlyConfig", weight_dtype=E5M2), "e4m3"),
        (
            "text_encoder",
            method("bitsandbytes", load_in_4bit=True, bnb_4bit_quant_storage="bfloat16"),
            "stored as uint8",
        ),
        ("vae", torchao("Int8WeightOnlyConfig"), "the package torchao"),
        ("vae", method("bitsandbytes", load_in_4bit=True), "the package bitsandbytes"),
        ("vae", method("quanto", weights_dtype="int8"), "the package optimum-quanto"),
        ("transformer", method("gguf", compute_dtype="bfloat16"), "the package gguf"),
        ("transformer", method("modelopt"), "the package nvidia-modelopt"),
        ("text_encoder", method("fp8"), "with fp8"),
        ("text_encoder", method("gptq", bits=4), "the package gptqmodel"),
        ("text_encoder", method("awq"), "the package autoawq"),
        ("text_encoder", method("hqq"), "the package hqq"),
        ("text_encoder", method("compressed-tensors"), "the package compressed-tensors"),
        ("transformer", method("brand-new"), r"with brand-new \(quantization_config in transf"),
        ("transformer", {}, "an unnamed method"),
        ("transformer", "int8", "with 'int8'"),
        ("transformer", [1], r"with \[1\]"),
        ("model_index", {"quant_backend": "bitsandbytes_4bit"}, "the package bitsandbytes"),
    ],
    ids=str,
)
def test_quantised_component_is_named(
    part: str, settings: Any, message: str, tmp_path: Path
) -> None:
    folder = write_published(tmp_path, "2b", **{part: {"quantization_config": settings}})
    line = refusal(folder)
    assert re.search(message, line)
    assert f"its {part.replace('model_index', 'pipeline')} is quantised with" in line
    assert "Use one that is not quantised, such as --model 5b" in line
    assert "--fp8" in line


def test_other_marks_of_quantisation_are_known(tmp_path: Path) -> None:
    folder = write_published(tmp_path, "5b", vae={"quantization_config": None})
    assert identify(folder, "a/b", has_weights=False).name == "5b"
    (folder / "transformer" / "quanto_qmap.json").write_text("{}")
    assert "from the package optimum-quanto (transformer/quanto_qmap.json)" in refusal(folder)
    write_published(folder, "5b", text_encoder={"load_in_8bit": True})
    (folder / "transformer" / "quanto_qmap.json").unlink()
    assert "its text_encoder is quantised with bitsandbytes" in refusal(folder)


@pytest.mark.parametrize(
    ("name", "options", "package"),
    [
        ("BitsAndBytesConfig", {"load_in_8bit": True}, "bitsandbytes"),
        ("QuantoConfig", {"weights": "int8"}, "optimum-quanto"),
        ("GPTQConfig", {"bits": 4}, "gptqmodel"),
        ("AwqConfig", {"bits": 4}, "autoawq"),
        ("EetqConfig", {}, "eetq"),
        ("FineGrainedFP8Config", {}, "transformers"),
    ],
)
def test_text_encoder_saved_with_a_method_of_transformers_is_named(
    name: str, options: dict[str, Any], package: str, tmp_path: Path
) -> None:
    import transformers

    folder = write_published(tmp_path, "5b")
    config = transformers.T5Config.from_pretrained(folder / "text_encoder")
    config.quantization_config = getattr(transformers, name)(**options)
    config.save_pretrained(folder / "text_encoder")
    assert f", from the package {package} (quantization_config in text_encoder/" in refusal(folder)
