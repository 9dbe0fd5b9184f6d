"""Plans where GPU and CPU share their memory: it counts once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cogmagic import Machine, Plan, Ram, RequestError
from cogmagic._api.status import Status
from cogmagic._pipeline.attention_scores import MOST_SCORES
from cogmagic._planning.candidate import Candidate
from cogmagic._units import GIB, MIB
from tests.helpers.plans import five, plan


def mac(gib: int, available: float) -> Machine:
    return Machine(ram=Ram(gib * GIB, round(available * GIB)), device="mps")


def of(p: Plan, tier: str) -> Candidate:
    return next(c for c in p.candidates if c.tier == tier)


@pytest.mark.parametrize("name", ["GB10", "DGX Spark", "NVIDIA GB10", "dgx spark 128GB"])
def test_gb10_runs_without_offload(name: str) -> None:
    machine = Machine.of(name)
    assert machine.gpus[0].unified
    assert machine.gpus[0].total == machine.ram.total == 122548 * MIB  # as its system reports
    p = plan(five(), machine)
    assert (p.tier, p.fits) == ("none", True)
    assert "shared with the CPU" in p.where


def test_unified_memory_counts_once() -> None:
    """Exactly weights, activations, context and process fit; with a byte less, memory lacks."""
    p = plan(five(), Machine.of("GB10"))
    none = of(p, "none")
    need = (none.peak_vram or 0) + none.peak_ram
    assert none.host_memory == need
    assert not none.needs.copies  # the weights stay files, beside their copy on the GPU

    def with_available(nbytes: int) -> Candidate:
        machine = Machine.of("GB10")
        ram = replace(machine.ram, available=nbytes)
        gpus = tuple(g.sharing(ram.total, nbytes) for g in machine.gpus)
        return of(plan(five(), replace(machine, ram=ram, gpus=gpus)), "none")

    assert with_available(need).fits
    lacking = with_available(need - GIB)
    assert (lacking.missing, lacking.shortfall) == (GIB, "1.00 GiB of memory")


def test_page_locked_copies_count_besides_their_copies_on_the_gpu() -> None:
    p = plan(five(), Machine.of("GB10", ram=25))
    weights = 19 * GIB
    assert of(p, "stream").peak_ram > weights
    assert of(p, "stream").missing > 0
    assert of(p, "model").fits  # from the files, one component at a time
    assert p.tier == "model"


def test_past_tensors_of_this_kernel_count_once() -> None:
    """The allocator's cache is free for a run; what tensors use is not."""
    machine = Machine.of("GB10", ram=40)

    def missing(reserved: int, allocated: int) -> int:
        ram = replace(machine.ram, available=20 * GIB)
        (gpu,) = machine.gpus
        gpu = replace(gpu, reserved=reserved, allocated=allocated).sharing(ram.total, 20 * GIB)
        return of(plan(five(), replace(machine, ram=ram, gpus=(gpu,))), "none").missing

    full = missing(12 * GIB, 12 * GIB)
    assert full > 0
    assert missing(12 * GIB, 9 * GIB) == full - 3 * GIB
    assert missing(12 * GIB, 0) == 0


def test_a_tier_asked_for_is_refused_where_the_kernel_would_be_killed() -> None:
    p = plan(five(), Machine.of("GB10", ram=20), tier="none")
    assert "GiB of memory, which CPU and GPU share," in p.refusal
    assert p.refusal.endswith("the kernel would be killed. Use --tier model.")


def test_a_vram_limit_holds_on_unified_memory() -> None:
    p = plan(five(), Machine.of("GB10"), vram_limit=20 * GIB)
    assert of(p, "none").missing_vram > 0
    assert (p.tier, p.fits) == ("model", True)


def test_jetson_gets_the_tier_that_fits() -> None:
    tiers = {
        n: plan(five(), Machine.of(f"Jetson {n}")).tier for n in ("Orin Nano", "AGX Orin 64GB")
    }
    assert tiers == {"Orin Nano": "sequential", "AGX Orin 64GB": "none"}


def test_a_machine_has_one_integrated_gpu() -> None:
    with pytest.raises(RequestError, match=r"2 integrated GPUs, but a machine has one\. Use"):
        Machine.of("2x GB10")


def test_5b_is_refused_on_a_mac_of_16_gib() -> None:
    p = plan(five(), mac(16, 13))
    assert {c.tier for c in p.candidates} == {"none", "model", "staged"}
    assert not any(c.fits for c in p.candidates)
    assert "does not fit: model offload, which comes closest, lacks 4.84 GiB of memory" in p.refusal
    assert "--fp8" not in p.refusal  # which MPS cannot do
    assert "\n" not in p.refusal


@pytest.mark.parametrize(
    ("gib", "available", "tier"), [(24, 20, "model"), (32, 26, "model"), (64, 50, "none")]
)
def test_mac_gets_the_tier_that_fits(gib: int, available: float, tier: str) -> None:
    p = plan(five(), mac(gib, available))
    assert (p.tier, p.fits) == (tier, True)
    assert f"{gib} GiB" not in p.where


def test_metal_limits_what_a_run_may_use() -> None:
    """Two thirds of up to 32 GiB, else three quarters, or what Metal itself reports."""
    share = {gib: mac(gib, gib).computing[0].available for gib in (16, 32, 64)}
    assert share == {16: 16 * GIB * 2 // 3, 32: 32 * GIB * 2 // 3, 64: 48 * GIB}
    asked = replace(mac(48, 48), metal=37 * GIB)
    assert asked.computing[0].available == 37 * GIB
    assert asked.limited_to(20 * GIB).computing[0].available == 20 * GIB
    assert plan(five(), mac(64, 60), vram_limit=18 * GIB).tier != "none"


def test_scores_of_attention_count_on_mps() -> None:
    def denoise(machine: Machine, **options: Any) -> int:
        needs = of(plan(five(**options), machine), "none").needs
        return int(needs.gpus[0]["denoise"])

    slices = 16 * MOST_SCORES
    added = denoise(mac(64, 60)) - denoise(Machine.of("H100"))
    assert slices - 2**25 < added <= slices  # less cuBLAS's workspace


def test_status_has_the_shared_memory_of_a_mac() -> None:
    text = str(Status(mac(16, 13), None))
    assert "GPU       Apple GPU through MPS: 10.67 GiB available of 16.00 GiB, shared with" in text
    assert "free of 119.68 GiB, shared with the CPU\n" in str(Status(Machine.of("GB10"), None))
    assert "none; runs on the CPU" in str(Status(Machine(), None))


def test_mac_of_unknown_memory_is_planned_as_before() -> None:
    p = plan(five(), Machine(device="mps"))
    assert (p.tier, p.fits, p.where) == ("none", True, "MPS")


def test_streaming_keeps_as_many_blocks_as_the_shared_memory_holds() -> None:
    chosen = {}
    for ram in (26, 28, 34, 40):
        candidate = of(plan(five(), Machine.of("GB10", ram=ram)), "stream")
        chosen[ram] = (candidate.needs.variant.resident_blocks, candidate.fits)
    assert chosen == {26: (0, False), 28: (6, True), 34: (30, True), 40: (42, True)}
