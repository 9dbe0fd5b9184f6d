"""Limits of VRAM."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cogmagic import Machine, RequestError
from cogmagic._machine.gpu import context_bytes
from cogmagic._planning.planner import plan
from cogmagic._units import GIB
from tests.helpers.plans import five


def test_a_limit_by_hand_is_kept_to() -> None:
    machine = Machine.of("RTX 4090")
    assert plan(five(), machine).tier == "model"
    assert plan(five(), machine, vram_limit=10 * GIB).tier == "stream"


def test_a_limit_counts_the_tensors_that_are_there() -> None:
    machine = Machine.of("RTX 4090")
    (gpu,) = machine.gpus
    held = replace(gpu, reserved=6 * GIB, allocated=6 * GIB, free=(gpu.free or 0) - 6 * GIB)
    busy = replace(machine, gpus=(held,))
    assert plan(five(), busy).tier == "model"
    assert plan(five(), machine, vram_limit=16 * GIB).tier == "model"
    found = plan(five(), busy, vram_limit=16 * GIB)  # of which 6 are taken
    assert found.tier == "stream"
    assert (found.peak_vram or 0) <= 10 * GIB


def test_the_gpu_with_most_room_under_the_limit_is_taken() -> None:
    first, second = Machine.of("2x A100 40GB").gpus
    mine = replace(first, free=GIB, reserved=36 * GIB, allocated=18 * GIB)  # 19 GiB available
    full = replace(second, free=17 * GIB)
    machine = replace(Machine.of("2x A100 40GB"), gpus=(mine, full))
    assert plan(five(), machine).gpu == 0
    found = plan(five(), machine, vram_limit=20 * GIB)
    assert (found.gpu, found.fits) == (1, True)


def test_a_limit_is_what_is_left_beside_context_and_tensors() -> None:
    (gpu,) = Machine.of("RTX 4090").gpus
    started = replace(gpu, reserved=6 * GIB, allocated=4 * GIB, allowed=10 * GIB)
    assert started.available == 6 * GIB - context_bytes()
    assert replace(gpu, allowed=10 * GIB).available == 10 * GIB  # its context is to come
    assert replace(gpu, allowed=40 * GIB).available == gpu.available
    assert replace(started, allocated=12 * GIB).available == 0
    twice = Machine.of("RTX 4090").limited_to(10 * GIB).limited_to(20 * GIB)
    assert twice.gpus[0].allowed == 10 * GIB


@pytest.mark.parametrize("limit", [10, 0, -5, 1.5e9, float("nan"), "10", True])
def test_a_limit_that_is_none(limit: Any) -> None:
    with pytest.raises(RequestError, match="no whole number of bytes"):
        plan(five(), Machine.of("RTX 4090"), vram_limit=limit)
