"""The published rule, case by case, and forced tiers."""

from __future__ import annotations

import pytest

from cogmagic import Gpu, Machine, Request, TierError
from cogmagic._models.catalog import MODELS
from cogmagic._planning.planner import plan
from cogmagic._planning.rule import rule_of_thumb
from cogmagic._units import GIB

TINY = MODELS[0]


def machine(*free: float) -> Machine:
    gpus = tuple(
        Gpu(i, f"GPU{i}", total=int(80 * GIB), free=int(f * GIB)) for i, f in enumerate(free)
    )
    return Machine(gpus, device="cuda" if gpus else "cpu")


@pytest.mark.parametrize(
    ("free", "tier"),
    [
        ((15.0,), "sequential"),
        ((15.6,), "model"),
        ((15.99,), "model"),
        ((16.0,), "model"),
        ((23.5,), "model"),
        ((23.99,), "model"),
        ((24.0,), "model"),
        ((24.1,), "none"),
        ((4.0,), "sequential"),
        ((), "none"),
        ((80.0, 80.0), "balanced"),
        ((8.0, 8.0), "balanced"),
        ((24.1, 24.1, 24.1), "balanced"),
    ],
)
def test_the_rule(free: tuple[float, ...], tier: str) -> None:
    assert rule_of_thumb(machine(*free))[0] == tier


def test_what_this_kernel_has_cached_counts_as_available() -> None:
    gpu = Gpu(0, "GPU", total=24 * GIB, free=10 * GIB, reserved=12 * GIB, allocated=4 * GIB)
    assert gpu.available == 18 * GIB
    assert gpu.others == 2 * GIB
    assert rule_of_thumb(Machine((gpu,), device="cuda"))[0] == "model"


def test_mps_and_unknown_memory() -> None:
    assert rule_of_thumb(Machine(device="mps")) == ("none", "on MPS: nothing is offloaded")
    tier, why = rule_of_thumb(Machine((Gpu(0, "Odd card"),), device="cuda"))
    assert tier == "sequential"
    assert "does not tell" in why


def test_a_forced_tier_is_taken_and_the_rule_still_told() -> None:
    chosen = plan(Request.of("a circle", TINY), machine(40.0), tier="sequential")
    assert (chosen.tier, chosen.rule) == ("sequential", "none")
    assert "the planner says none" in chosen.reason
    assert "40.0 GiB" in chosen.rule_reason
    assert plan(Request.of("a circle", TINY), machine(40.0), tier="auto").tier == "none"


@pytest.mark.parametrize(
    ("tier", "where", "says"),
    [
        ("balanced", machine(40.0), "there is 1 to use. Use --tier auto"),
        ("balanced", machine(), "there is none to use. Use --tier auto"),
        ("sequental", machine(), "Did you mean 'sequential'?"),
        ("sequential", Machine(device="mps"), "does not work on MPS"),
    ],
)
def test_a_tier_that_cannot_be(tier: str, where: Machine, says: str) -> None:
    with pytest.raises(TierError) as error:
        plan(Request.of("a circle", TINY), where, tier=tier)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_the_rule_on_request() -> None:
    request = Request.of("a circle", TINY, seed=1)
    chosen = plan(request, machine(18.0), policy="rule")
    assert (chosen.tier, plan(request, machine(18.0)).tier) == ("model", "none")
    text = str(chosen)
    assert "tier     model: one whole component on the GPU at a time" in text
    assert "18.0 GiB of VRAM available, which counts as 18: 16 to 24" in text
    assert "float32 on GPU0" in text
    with pytest.raises(TierError, match="Did you mean 'rule'"):
        plan(request, machine(18.0), policy="rules")
