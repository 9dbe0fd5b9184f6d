"""Limits of VRAM."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import cogmagic
from cogmagic import Machine, RequestError
from cogmagic._machine.gpu import context_bytes
from cogmagic._units import GIB
from tests.helpers.plans import five, plan


def test_a_vram_limit_changes_the_tier() -> None:
    machine = Machine.of("RTX 4090")
    assert plan(five(), machine).tier == "model"
    assert plan(five(), machine, vram_limit=10 * GIB).tier == "stream"


def test_a_vram_limit_counts_the_kernels_other_tensors() -> None:
    machine = Machine.of("RTX 4090")
    (gpu,) = machine.gpus
    held = replace(gpu, reserved=6 * GIB, allocated=6 * GIB, free=(gpu.free or 0) - 6 * GIB)
    busy = replace(machine, gpus=(held,))
    assert plan(five(), busy).tier == "model"
    assert plan(five(), machine, vram_limit=16 * GIB).tier == "model"
    found = plan(five(), busy, vram_limit=16 * GIB)  # of which 6 are taken
    assert found.tier == "stream"
    assert (found.peak_vram or 0) <= 10 * GIB


def test_the_gpu_with_most_vram_under_the_limit_is_chosen() -> None:
    first, second = Machine.of("2x A100 40GB").gpus
    mine = replace(first, free=GIB, reserved=36 * GIB, allocated=18 * GIB)  # 19 GiB available
    full = replace(second, free=17 * GIB)
    machine = replace(Machine.of("2x A100 40GB"), gpus=(mine, full))
    assert plan(five(), machine).gpu == 0
    found = plan(five(), machine, vram_limit=20 * GIB)
    assert (found.gpu, found.fits) == (1, True)


def test_a_vram_limit_includes_the_context_and_other_tensors() -> None:
    (gpu,) = Machine.of("RTX 4090").gpus
    started = replace(gpu, reserved=6 * GIB, allocated=4 * GIB, allowed=10 * GIB)
    assert started.available == 6 * GIB - context_bytes()
    assert replace(gpu, allowed=10 * GIB).available == 10 * GIB  # its context is to come
    assert replace(gpu, allowed=40 * GIB).available == gpu.available
    assert replace(started, allocated=12 * GIB).available == 0
    twice = Machine.of("RTX 4090").limited_to(10 * GIB).limited_to(20 * GIB)
    assert twice.gpus[0].allowed == 10 * GIB


@pytest.mark.parametrize("limit", [2000, 0, -5, 1e8, float("nan"), "10", True])
def test_a_bad_vram_limit_is_refused(limit: Any) -> None:
    with pytest.raises(RequestError, match="vram_limit="):
        cogmagic.plan(model="5b", machine=Machine.of("RTX 4090"), vram_limit=limit)


def test_a_vram_limit_below_1024_is_in_gib() -> None:
    machine = Machine.of("RTX 4090")
    plans = [
        cogmagic.plan(model="5b", machine=machine, seed=1, vram_limit=limit)
        for limit in (10, 10.0, 10 * GIB)
    ]
    assert plans[0].options.vram_limit == 10 * GIB
    assert plans[0] == plans[1] == plans[2]


def test_mapped_weights_count_under_a_limit_on_addresses() -> None:
    """As `ulimit -v` sets it: copies and files together, then files alone, then one component's."""
    machine = Machine.of("RTX 4090", ram=64)

    def limited(gib: int) -> cogmagic.Plan:
        return plan(five(), replace(machine, ram=replace(machine.ram, mappable=gib * GIB)))

    copies, files, one = limited(60), limited(40), limited(20)
    assert (copies.tier, files.tier, one.tier) == ("model", "model", "staged")
    assert (copies.chosen and copies.chosen.needs.copies) is True
    assert (files.chosen and files.chosen.needs.copies) is False
    lacking = next(c for c in one.candidates if c.tier == "model")
    weights = lacking.needs.mapped
    assert 19 * GIB < weights < 21 * GIB  # of the text encoder, the transformer and the VAE
    assert lacking.missing_addresses == lacking.peak_ram + weights - 20 * GIB
    assert "1.90 GiB of address space (ulimit -v)" in lacking.reason
    refused = limited(4)
    assert "GiB more address space (ulimit -v)" in refused.refusal
    assert "\n" not in refused.refusal


def test_weights_that_are_mapped_already_count_no_more() -> None:
    machine = Machine.of("RTX 4090", ram=64)
    machine = replace(machine, ram=replace(machine.ram, mappable=4 * GIB))
    assert plan(five(), machine, weights_loaded=True).tier == "model"
