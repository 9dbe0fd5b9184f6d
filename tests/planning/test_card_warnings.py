"""The warnings of a plan about its card."""

from __future__ import annotations

from dataclasses import replace

import pytest

import cogmagic
from cogmagic import Machine


def warnings(card: str, **options: object) -> tuple[str, ...]:
    """Those of 2b, which is made for float16, on a card."""
    return cogmagic.plan(model="2b", machine=Machine.of(card), **options).warnings  # type: ignore[no-any-return, call-overload]


@pytest.mark.parametrize(
    ("card", "sm"),
    [("P40", "sm_61"), ("GTX 1080 Ti", "sm_61"), ("P100", "sm_60"), ("V100", "sm_70")],
)
def test_card_before_turing_asks_for_a_torch_build(card: str, sm: str) -> None:
    (warning,) = warnings(card)
    assert (
        f"It is {sm}, which torch's default builds leave out: install one for CUDA 12.6" in warning
    )
    assert "https://download.pytorch.org/whl/cu126" in warning
    assert ("computes float16 in the time of float32" in warning) is (sm == "sm_61")


def test_torch_of_this_machine_is_not_warned_of() -> None:
    machine = Machine.of("P40")
    here = replace(machine, gpus=(replace(machine.gpus[0], source="nvml"),))
    (warning,) = cogmagic.plan(model="2b", machine=here).warnings
    assert "older than Ampere" in warning
    assert "torch" not in warning


def test_turing_card_asks_for_no_torch_build() -> None:
    assert warnings("T4") == (
        "T4 is older than Ampere, and no such card was measured: its memory may differ",
    )


@pytest.mark.parametrize("card", ["GTX 1650", "GTX 1660", "GTX 1660 Ti"])
def test_gtx_16_warns_of_float16(card: str) -> None:
    assert any("have computed NaN (black pictures) in float16" in w for w in warnings(card))
    assert not any("NaN" in w for w in warnings(card, dtype="float32"))


@pytest.mark.parametrize("card", ["RX 7900 XTX", "MI300X", "MI250"])
def test_amd_card_asks_for_rocm_and_computes_in_bfloat16(card: str) -> None:
    plan = cogmagic.plan(model="5b", machine=Machine.of(card))
    assert (plan.dtype, plan.fits, plan.seconds is not None) == ("bfloat16", True, True)
    (warning,) = plan.warnings
    assert "needs a torch build for ROCm" in warning


def test_rebuilt_card_is_noted() -> None:
    plan = cogmagic.plan(model="5b", machine=Machine.of("RTX 4090 48GB"))
    assert plan.tier == "none"
    assert plan.warnings == (
        "RTX 4090 with 48.00 GiB has more memory than its datasheet (23.99 GiB): a rebuilt card,"
        " planned at the speed of RTX 4090",
    )
    assert cogmagic.plan(model="5b", machine=Machine.of("RTX 4090")).warnings == ()


def test_each_rebuilt_card_of_a_machine_is_noted_once() -> None:
    plan = cogmagic.plan(model="5b", machine=Machine.of("2x RTX 3060 + RTX 3090", vram=24))
    assert [w.partition(" has ")[0] for w in plan.warnings] == ["RTX 3060 with 24.00 GiB"]


def test_plan_for_vram_alone_names_the_assumed_card() -> None:
    plan = cogmagic.plan(model="5b", machine=Machine.of(vram=24))
    assert "times    from the datasheet of RTX 3060 (Ampere), as --vram names no card" in str(plan)
