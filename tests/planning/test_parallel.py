"""Plans of one video on several GPUs: which they are, their shares, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

import cogmagic
from cogmagic import CogMagicError, Machine, Plan, RequestError, TierError
from cogmagic._api.which_gpu import which_gpu
from cogmagic._pipeline.parallel.split import WHOLE, Split
from cogmagic._planning.parallel import with_parallel
from cogmagic._planning.plan_json import as_json
from cogmagic._units import GIB
from tests.helpers.plans import five, plan


def plan_on(machine: str | Machine, ram: float | None = None, **options: Any) -> Plan:
    described = machine if isinstance(machine, Machine) else Machine.of(machine, ram=ram)
    return cogmagic.plan(**{"model": "5b"} | options, machine=described)


def cpu(ram: float) -> Machine:
    return replace(Machine.of(ram=ram), device="cpu")


def test_guidance_is_halved_first_and_the_first_rank_has_the_text() -> None:
    plan, one = plan_on("4x H200", parallel=4), plan_on("4x H200")
    assert (plan.split, plan.ranks, plan.gpus) == (Split(2, 2), (0, 1, 2, 3), (0, 1, 2, 3))
    first, *others = plan.peaks
    assert len(others) == 3
    assert max(others) < first - 8 * GIB
    assert first == plan.peak_vram
    assert plan.peaks_allocated[0] == plan.peak_allocated
    assert plan.seconds is not None
    assert one.seconds is not None
    assert plan.seconds < 0.6 * one.seconds
    lines = str(plan).splitlines()
    parallel = next(line for line in lines if line.startswith("parallel"))
    assert parallel == "parallel 4 GPUs (guidance 2 x tokens 2) over NVLink: 64 s instead of 115 s"
    peaks = next(line for line in lines if line.startswith("peaks"))
    assert peaks.endswith("GiB on GPU 1, 2, 3")
    stored = json.loads(as_json(plan))
    assert stored["split"] == {"guidance": 2, "sequence": 2}
    assert (stored["ranks"], stored["peaks"]) == ([0, 1, 2, 3], list(plan.peaks))


def test_without_guidance_tokens_alone_are_shared() -> None:
    assert plan_on("2x H200", parallel=2, guidance_scale=1).split == Split(1, 2)


def test_every_rank_has_its_own_host_memory_where_it_fits() -> None:
    plenty, tight = (plan_on("8x A100 40GB", ram, parallel=8) for ram in (256, 64))
    assert plenty.chosen
    assert plenty.chosen.needs.copies
    assert plenty.peak_ram is not None
    assert plenty.peak_ram > 8 * 10 * GIB
    assert tight.fits
    assert tight.chosen
    assert not tight.chosen.needs.copies  # mapped files, which the processes share
    assert tight.peak_ram is not None
    assert tight.peak_ram < 16 * GIB


def test_memory_limits_apply_to_every_gpu() -> None:
    plan = plan_on("2x RTX 3060", parallel=2, vram_limit=8)
    assert plan.fits
    assert all(6.5 * GIB < peak <= 8 * GIB for peak in plan.peaks)


@pytest.mark.parametrize(
    ("machine", "options", "ranks", "text"),
    [
        ("8x A100 40GB", {}, 8, "8 GPUs (guidance 2 x tokens 4) over NVLink"),
        (
            "7x H100 SXM 80GB",
            {"model": "2b"},
            6,
            "is left out: 30 heads do not divide by 7",
        ),
        ("2x A100 40GB + RTX 3090", {}, 2, "GPU 2 (RTX 3090) is left out: 3 GPUs would take"),
        ("RTX 4090 + RTX 3060", {}, 0, "one GPU: 2 GPUs (guidance 2 x tokens 1) over host memory"),
        ("H200", {}, 0, "one GPU: this machine has no other"),
        ("RTX 4090 + T4", {}, 0, "one GPU: no other can do what was asked for"),
        (cpu(16), {"model": "tiny"}, 0, "one process: this machine has no GPU; --parallel 2"),
        ("M3 Max 64GB", {}, 0, "one GPU: this machine has no other"),
    ],
)
def test_all_takes_as_many_as_gain(
    machine: str | Machine, options: dict[str, Any], ranks: int, text: str
) -> None:
    plan = plan_on(machine, parallel="all", **options)
    assert len(plan.ranks) == ranks
    assert plan.split.count == max(ranks, 1)
    assert text in plan.parallel


def test_the_fastest_cards_are_taken_and_the_roomiest_leads() -> None:
    machine = Machine.of("RTX 3060 + 2x RTX 4090")
    gpus = list(machine.gpus)
    gpus[1] = replace(gpus[1], free=20 * GIB)
    plan = plan_on(replace(machine, gpus=tuple(gpus)), parallel=2)
    assert plan.ranks == (2, 1)


def test_what_processes_leave_on_a_gpu_does_not_change_the_order_of_the_ranks() -> None:
    machine = Machine.of("3x H200")
    for index in range(3):  # the fullest by a gigabyte
        gpus = [replace(g, free=(138 - (g.index == index)) * GIB) for g in machine.gpus]
        assert plan_on(replace(machine, gpus=tuple(gpus)), parallel=2).ranks == (0, 1)


def test_only_the_named_gpus_are_taken() -> None:
    assert plan_on("3x H200", parallel=2, gpus="0,2").ranks == (0, 2)
    assert plan_on("3x H200", parallel="all", gpus=[1, 2]).ranks == (1, 2)
    alone = plan_on("3x H200", parallel="all", gpus=1).parallel
    assert alone == "one GPU: --gpus names no other"


def test_the_slowest_card_sets_the_pace() -> None:
    mixed, slow = plan_on("H200 + A100 80GB", parallel=2), plan_on("2x A100 80GB", parallel=2)
    assert mixed.step_seconds == pytest.approx(slow.step_seconds, rel=0.01)


def test_gpus_without_peer_access_exchange_through_host_memory() -> None:
    plan = plan_on("2x RTX 4090", parallel=2)
    assert "over host memory: 204 s instead of 356 s" in plan.parallel
    assert any("no access to each other's memory" in warning for warning in plan.warnings)
    steps = [plan_on("2x RTX 4090", parallel=n, guidance_scale=1).step_seconds for n in (1, 2)]
    assert steps[0] is not None
    assert steps[1] is not None
    assert 1.2 < steps[0] / steps[1] < 1.5  # tokens are exchanged in every block
    assert not any("each other" in w for w in plan_on("2x L40S", parallel=2).warnings)


def test_a_plan_of_one_gpu_says_what_several_would_gain() -> None:
    plan = plan_on("2x H200")
    assert (plan.split, plan.ranks) == (WHOLE, ())
    line = "faster   with --parallel 2: 85 s instead of 115 s (guidance 2 x tokens 1) over NVLink"
    assert line in str(plan)
    assert not plan_on("RTX 4090 + RTX 3060").parallel  # it would be slower
    assert not plan_on("H200").parallel
    assert not plan_on("2x H200", tier="balanced").parallel


def test_more_gpus_may_fit_where_one_does_not() -> None:
    """A rank's half of the batch needs less memory."""
    options: dict[str, Any] = {"model": "1.5-5b", "tier": "sequential"}
    request: dict[str, Any] = {"width": 1360, "height": 768, "num_frames": 81, "vram_limit": 7}
    plan = plan_on("2x RTX 3060", **options, **request)
    assert not plan.fits
    assert plan.parallel.startswith("--parallel 2: ")
    assert "helps    --parallel 2: " in str(plan)
    assert plan_on("2x RTX 3060", **options, **request, parallel=2).fits


@pytest.mark.parametrize(
    ("machine", "options", "error"),
    [
        ("H200", {"parallel": 2}, "needs 2 GPUs, but this machine has 1 (H200). Leave out"),
        ("3x H200", {"parallel": 4}, "has 3 (H200). Use parallel=3."),
        ("8x H200", {"parallel": 5}, "48 attention heads, or twice a divisor of them with"),
        ("8x H200", {"parallel": 7}, "Nearest: parallel=6 or parallel=8."),
        ("3x H200", {"parallel": 2, "gpus": 0}, "but gpus names 1 (H200). Leave out"),
        ("2x H200", {"parallel": 7}, "needs 7 GPUs, but this machine has 2 (H200). Use parallel=2"),
        ("M3 Max 64GB", {"parallel": 2}, "this machine has 1 (Apple GPU)"),
        ("RTX 4090 + T4", {"parallel": 2}, "1 that can compute in bfloat16 (RTX 4090, T4)"),
        ("RTX 4090", {"parallel": 2}, "has 1 (RTX 4090). Leave out"),
        (
            "H200 + A100 40GB",
            {"parallel": 2, "attention": "fa3"},
            "has 1 that can do what was asked for (H200, A100 40GB). Leave out",
        ),
        ("2x H200", {"parallel": 2, "tier": "balanced"}, 'Leave out tier="balanced", or'),
        ("2x H200", {"parallel": 2, "policy": "rule"}, 'Leave out policy="rule", or'),
        ("2x H200", {"parallel": "all", "tier": "balanced"}, 'Leave out tier="balanced", or'),
        (cpu(16), {"parallel": 5, "model": "tiny"}, "parallel=4 or parallel=6."),
    ],
)
def test_what_cannot_work_together_is_refused(
    machine: str | Machine, options: dict[str, Any], error: str
) -> None:
    with pytest.raises((RequestError, TierError)) as raised:
        plan_on(machine, **options)
    assert error in str(raised.value)
    assert "\n" not in str(raised.value)


def test_machines_whose_gpus_cannot_be_connected_are_refused() -> None:
    windows = replace(Machine.of("2x H200"), not_together="torch has no NCCL on Windows")
    with pytest.raises(RequestError, match=r"since torch has no NCCL on Windows\. Leave it out"):
        plan_on(windows, parallel=2)
    assert plan_on(windows, parallel="all").parallel == "one GPU: torch has no NCCL on Windows"
    assert not plan_on(windows).parallel


@pytest.mark.parametrize(
    ("machine", "options", "use"),
    [
        (Machine.of("8x A100 40GB", ram=12), {}, "--parallel 6: staged loading"),
        (Machine.of("8x A100 40GB", ram=64), {"tier": "stream"}, "Use --parallel 4."),
        (cpu(4), {"model": "tiny"}, "--parallel 1: no offload"),
    ],
)
def test_too_little_host_memory_is_refused_with_the_number_that_fits(
    machine: Machine, options: dict[str, Any], use: str
) -> None:
    plan = plan_on(machine, parallel=8 if machine.gpus else 4, **options)
    assert "of RAM" in plan.refusal
    assert use in plan.refusal
    assert "\n" not in plan.refusal


def test_gpus_are_left_out_with_the_reason() -> None:
    many = plan_on("11x A100 40GB", parallel="all").parallel
    assert many.endswith("GPU 10 (A100 40GB) are left out: 48 heads do not divide by 9 to 11")
    old = plan_on("2x A100 40GB + T4", parallel="all").parallel
    assert old.endswith("GPU 2 (T4) is left out: not able to do what was asked for")
    busy = Machine.of("3x H200")
    gpus = *busy.gpus[:2], replace(busy.gpus[2], free=GIB)
    full = plan_on(replace(busy, gpus=gpus), parallel="all")
    assert full.ranks == (0, 1)
    assert "GPU 2 (H200) is left out: with 3 GPUs, sequential offload lacks" in full.parallel


def test_a_full_disk_is_no_matter_of_gpus() -> None:
    machine = replace(Machine.of("2x H200"), disk=GIB)
    for count in (1, 2):
        made = plan(five(), machine, parallel=count, download=20 * GIB)
        assert not made.fits
        assert "--parallel" not in with_parallel(made, machine).refusal


def test_a_list_of_single_cards_takes_no_split() -> None:
    with pytest.raises(CogMagicError, match="lists single cards"):
        which_gpu(parallel=2)


def test_every_tier_that_places_all_on_one_gpu_can_be_shared() -> None:
    plan = plan_on("2x H200", parallel=2)
    tiers = {c.tier for c in plan.candidates}
    assert tiers == {"none", "model", "stream", "staged", "sequential"}
    for tier in tiers:
        assert plan_on("2x H200", parallel=2, tier=tier).tier == tier


def test_speeds_are_those_of_the_same_split() -> None:
    plan = plan_on("4x H200", parallel=4)
    times = {time.name: time.again for time in plan.speeds.times}
    assert times["fast"] < 0.8 * times["exact"] < 40
