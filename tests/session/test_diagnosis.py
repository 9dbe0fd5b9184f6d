"""Why memory ran out, from torch's message and the machine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cogmagic import Machine, Request
from cogmagic._footprint.savings import Savings
from cogmagic._models.find import find_model
from cogmagic._planning.plan import Plan
from cogmagic._session.diagnosis import cause_of
from cogmagic._units import GIB
from tests.helpers.plans import plan
from tests.helpers.shortages import short


def machine(**gpu: int | None) -> Machine:
    card = replace(Machine.of("RTX 3060").gpus[0], total=12 * GIB, free=11 * GIB)
    return Machine((replace(card, **gpu),), Machine.of("RTX 3060", ram=32).ram, "cuda")  # type: ignore[arg-type]


HERE = machine(reserved=0, allocated=0)


def planned(model: str = "5b", **options: Any) -> Plan:
    return plan(Request.of("a fox", find_model(model)), HERE, tier="none", **options)


@pytest.mark.parametrize(("model", "asked"), [("2b", "35.31 GiB"), ("5b", "56.50 GiB")])
def test_attention_without_a_fused_kernel_is_diagnosed(model: str, asked: str) -> None:
    found = cause_of(short(asked), planned(model), HERE, HERE)
    assert found.kind == "attention"
    assert asked in found.text
    assert "float16" in found.text


def test_attention_is_diagnosed_with_guidance_halves_and_in_other_dtypes() -> None:
    halves = planned("5b", savings=Savings(guidance_halves=True))
    assert cause_of(short("28.25 GiB"), halves, HERE, HERE).kind == "attention"
    single = replace(planned("5b"), dtype="float32")
    assert cause_of(short("113.01 GiB"), single, HERE, HERE).kind == "attention"
    half = replace(planned("5b"), dtype="float16")
    assert "Try" not in cause_of(short("56.50 GiB"), half, HERE, HERE).text


def test_fragmented_vram_is_diagnosed() -> None:
    found = cause_of(short("1.00 GiB", "1.50 GiB"), planned(), HERE, HERE)
    assert found.kind == "fragmented"
    assert found.text.endswith("1.00 GiB requested, 1.50 GiB reserved but unused")


def test_vram_taken_by_other_processes_is_diagnosed() -> None:
    found = cause_of(short(), planned(), HERE, machine(free=4 * GIB, reserved=0, allocated=0))
    assert found.kind == "others"
    assert "taken 7.00 GiB" in found.text
    before, now = (machine(free=f * GIB, reserved=0, unified=True) for f in (11, 4))
    assert cause_of(short(), planned(), before, now).kind == "device"  # perhaps this process itself


def test_other_processes_that_leave_enough_vram_are_not_blamed() -> None:
    """The run then had a limit of its own, and that ended it."""
    then = machine(total=80 * GIB, free=79 * GIB, reserved=0, allocated=0)
    now = machine(total=80 * GIB, free=70 * GIB, reserved=0, allocated=0)
    assert cause_of(short(), planned(), then, now).kind == "device"


def test_own_cuda_context_is_not_another_process() -> None:
    now = machine(free=round(10.4 * GIB), reserved=0, allocated=0)
    assert cause_of(short(), planned(), machine(), now).kind == "device"


def test_host_memory_shortage_is_diagnosed() -> None:
    found = cause_of(MemoryError(), planned(), HERE, HERE)
    assert found.kind == "host"
    assert found.of_host
    assert "32.00 GiB of them" not in found.text
    assert "32.00 GiB" in found.text


def test_unfamiliar_out_of_memory_message_is_still_a_shortage() -> None:
    found = cause_of(RuntimeError("CUDA error: out of memory"), planned(), HERE, HERE)
    assert found.kind == "device"
    assert "CUDA error: out of memory" in found.text
