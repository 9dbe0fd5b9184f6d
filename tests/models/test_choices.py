"""Words that people type for a choice of an option."""

from __future__ import annotations

import pytest

from cogmagic import CogMagicError, generate
from cogmagic._models.choices import choice_hint


@pytest.mark.parametrize(
    ("option", "value", "meant"),
    [
        ("dtype", "half", "float16"),
        ("dtype", "fp16", "float16"),
        ("dtype", "bf16", "bfloat16"),
        ("dtype", "torch.bfloat16", "bfloat16"),
        ("dtype", "FP32", "float32"),
        ("dtype", "float", "float32"),
        ("tier", "cpu", "model"),
        ("tier", "cpu_offload", "model"),
        ("tier", "offload", "model"),
        ("tier", "gpu", "none"),
        ("tier", "low", "sequential"),
        ("tier", "low vram", "sequential"),
        ("tier", "fast", "auto"),
        ("tier", "squential", "sequential"),
        ("keep", "gpu", "hot"),
        ("keep", "ram", "warm"),
        ("keep", "none", "cold"),
        ("scheduler", "CogVideoXDPMScheduler", "dpm"),
        ("scheduler", "CogVideoXDDIMScheduler", "ddim"),
        ("scheduler", "DPM++ 2M", "dpm"),
    ],
)
def test_choice_that_is_meant_is_named(option: str, value: str, meant: str) -> None:
    with pytest.raises(CogMagicError) as raised:
        generate("a red circle", **{option: value})
    assert f"Unknown {option} {value!r}. Did you mean {meant!r}? Choose from: " in str(raised.value)


@pytest.mark.parametrize(
    ("option", "value", "answer"),
    [
        ("scheduler", "euler", " Choose from: ddim, dpm. cogmagic has no other. Leave"),
        ("dtype", "int8", "To store the transformer in 8 bits, type fp8=True."),
        ("policy", "cheap", "Choose from: auto, rule."),
    ],
)
def test_value_without_a_choice_is_answered_with_what_to_do(
    option: str, value: str, answer: str
) -> None:
    with pytest.raises(CogMagicError) as raised:
        generate("a red circle", **{option: value})
    assert answer in str(raised.value)
    assert "Did you mean" not in str(raised.value)


def test_only_choices_are_offered() -> None:
    assert choice_hint("tier", "gpu", ("model", "sequential")) == (
        " Choose from: model, sequential."
    )
