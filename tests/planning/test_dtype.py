"""The dtype of a plan, and its risks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import cogmagic
from cogmagic import Machine, RequestError
from cogmagic._planning.dtype import advice_if_not_finite
from cogmagic._planning.memory_options import MemoryOptions
from cogmagic._units import seconds
from tests.helpers.adapters import diffusers_keys, factors, write
from tests.helpers.plans import five, plan


def test_bfloat16_is_refused_on_a_gpu_without_it() -> None:
    with pytest.raises(RequestError, match="T4 cannot compute in bfloat16") as error:
        plan(five(), Machine.of("T4"))
    assert str(error.value) == (
        "T4 cannot compute in bfloat16, which 5b was trained in (that takes Ampere or newer). Use"
        " --dtype float32 (fits: streaming, about 111 min), --model 2b, or try --dtype float16,"
        " which may overflow and end the run."
    )
    risky = plan(five(dtype="float16"), Machine.of("T4"))
    assert risky.dtype == "float16"
    overflow = "5b was trained in bfloat16: float16 may overflow, which ends the run"
    assert overflow in risky.warnings
    assert f"warning  {overflow}\nwarning  T4 is older than Ampere" in str(risky)
    two = cogmagic.plan(model="2b", machine=Machine.of("T4"))
    assert two.dtype == "float16"
    assert [w for w in two.warnings if "overflow" in w] == []
    assert plan(five(), Machine.of("RTX 4090")).warnings == ()
    with pytest.raises(RequestError, match=r"Use --gpus 1 \(RTX 3060\), --model 2b, or try"):
        plan(five(), Machine.of("T4 + RTX 3060"))
    assert cogmagic.plan(model="5b", machine=Machine.of("T4 + RTX 3060"), gpus=1).fits


@pytest.mark.parametrize(
    ("card", "ram"),
    [
        ("T4", None), ("T4", 32), ("RTX 2060", None), ("RTX 2080 Ti 22GB", 64), ("V100 32GB", 64),
        ("P100", 64), ("P40", 64), ("GTX 1660", 64), ("Quadro RTX 8000", 64), ("2x T4", 48),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "options", [{}, {"policy": "rule"}, {"tier": "sequential"}, {"fp8": True, "vram_limit": 8}]
)
def test_float32_is_offered_where_it_fits_with_the_seconds_of_its_plan(
    card: str, ram: float | None, options: dict[str, Any]
) -> None:
    machine = Machine.of(card, ram=ram)
    wide = cogmagic.plan(model="5b", machine=machine, dtype="float32", **options)
    with pytest.raises(RequestError) as refusal:
        cogmagic.plan(model="5b", machine=machine, **options)
    assert ('dtype="float32"' in str(refusal.value)) is wide.fits
    if wide.fits:
        offered = f"(fits: {wide.placement.title}, about {seconds(wide.seconds)})"
        assert f'dtype="float32" {offered}' in str(refusal.value)


def test_float32_has_the_rate_of_the_datasheet_beside_a_probe_in_16_bits() -> None:
    machine = Machine.of("T4")
    assert machine.rates is not None
    probe = replace(machine.rates, products=machine.rates.products / 3, source="probe")
    probed = replace(machine, rates=probe)
    wide, narrow = five(dtype="float32"), five(dtype="float16")
    assert plan(narrow, probed).step_seconds != plan(narrow, machine).step_seconds
    assert plan(wide, probed).candidates == plan(wide, machine).candidates
    assert plan(wide, probed).times == (
        "from the float32 rate of T4's datasheet alone: not measured"
    )
    # Plain float32 is an eighth of the tensor cores' rate, and its numbers have twice the bytes.
    ratio = (plan(wide, machine).step_seconds or 0) / (plan(narrow, machine).step_seconds or 1)
    assert ratio == pytest.approx(6.2, rel=0.1)


def test_float32_is_offered_within_the_options() -> None:
    with pytest.raises(RequestError, match=r'Use dtype="float32" \(fits: sequential offload, '):
        cogmagic.plan(model="5b", machine=Machine.of("T4"), tier="sequential")
    for options in ({"tier": "none"}, {"vram_limit": 3}):
        with pytest.raises(RequestError, match='Use model="2b", or try'):
            cogmagic.plan(model="5b", machine=Machine.of("T4"), **options)


def test_seconds_in_float32_are_unknown() -> None:
    found = cogmagic.plan(model="5b", machine=Machine.of("A100 80GB"), dtype="float32")
    assert found.fits
    assert found.step_seconds is None
    assert "n/a" in str(found)
    assert found.reason.startswith("the simplest tier that fits")
    assert found.times.startswith("unknown: ")


@pytest.mark.parametrize(
    ("card", "model", "dtype", "options", "advice"),
    [
        (
            "RTX 4090", "5b", "float16", {},
            "5b was trained in bfloat16, and float16 has less range. Use --dtype bfloat16.",
        ),
        ("T4", "5b", "float16", {}, "Use --dtype float32 (T4 cannot compute in bfloat16)."),
        ("RTX 4090", "5b", "bfloat16", {}, "Download or copy zai-org/CogVideoX-5b again."),
        ("RTX 4090", "tiny", "bfloat16", {}, "may be damaged. Install cogmagic again."),
        ("RTX 4090", "5b", "float32", {}, "5b should compute in float32: one of its files, or a"),
        ("RTX 4090", "2b", "float16", {}, "again, or try --dtype bfloat16, which has more range."),
        (
            "T4", "2b", "float16", {},
            "or try --dtype float32, which has more range (T4 cannot compute in bfloat16).",
        ),
        (
            "RTX 4090", "5b", "bfloat16", {"compile": True, "fp8": True},
            "again. Try it without --compile and --fp8, too.",
        ),
    ],
)  # fmt: skip
def test_advice_after_numbers_that_are_not_finite(
    card: str, model: str, dtype: str, options: dict[str, bool], advice: str
) -> None:
    request = cogmagic.Request.of("any", model=model)
    text = advice_if_not_finite(
        request,
        dtype,
        Machine.of(card),
        MemoryOptions.of(**options),  # type: ignore[arg-type]
    )
    assert advice in text


def test_advice_after_numbers_that_are_not_finite_names_the_adapters(tmp_path: Path) -> None:
    file = write(tmp_path / "red.safetensors", diffusers_keys(factors()))
    request = cogmagic.Request.of("any", model="tiny", lora=[(file, 1e30)])
    text = advice_if_not_finite(request, "float32", Machine.of("RTX 4090"), MemoryOptions.of())
    assert text.startswith(
        "The weight of a LoRA may be too large (red.safetensors@1e+30): give a smaller one, or"
        " leave out --lora. Without LoRA, tiny should compute in float32: "
    )


def test_bfloat16_for_a_model_made_for_float16_is_refused_with_its_own_dtype() -> None:
    with pytest.raises(RequestError) as refusal:
        cogmagic.plan(model="2b", machine=Machine.of("T4"), dtype="bfloat16")
    assert str(refusal.value) == (
        "T4 cannot compute in bfloat16 (that takes Ampere or newer)."
        " Leave dtype out: 2b is made for float16."
    )


def test_gpu_that_torch_cannot_use_takes_no_vram() -> None:
    found = plan(five(), replace(Machine.of("RTX 4090"), device="cpu"))
    assert (found.dtype, found.where) == ("float32", "CPU")
    assert [(c.tier, c.peak_vram) for c in found.candidates] == [("none", None)]
