"""Tiers that cannot be chosen."""

from __future__ import annotations

import pytest

import cogmagic
from cogmagic import Machine, Request, RequestError, TierError
from cogmagic._models.catalog import MODELS
from cogmagic._planning.checks import check_options
from cogmagic._planning.memory_options import MemoryOptions
from tests.helpers.plans import machine, plan


def test_a_tier_is_refused_with_savings_that_it_does_not_support() -> None:
    two = Machine.of("2x RTX 3060")
    with pytest.raises(cogmagic.TierError, match="'balanced' does not work with fp8=True"):
        cogmagic.plan(model="5b", machine=two, tier="balanced", fp8=True)
    offered = {c.tier for c in cogmagic.plan(model="5b", machine=two, lean_decode=True).candidates}
    assert "balanced" not in offered


TINY = MODELS[0]


@pytest.mark.parametrize(
    ("tier", "where", "says"),
    [
        ("balanced", machine(40.0), "but 1 may be used. Use --tier auto"),
        ("balanced", machine(), "but none may be used. Use --tier auto"),
        ("sequental", machine(), "Did you mean 'sequential'?"),
        ("sequential", Machine(device="mps"), "does not work on MPS"),
    ],
)
def test_a_tier_that_the_machine_cannot_do_is_refused(tier: str, where: Machine, says: str) -> None:
    with pytest.raises(TierError) as error:
        plan(Request.of("a circle", TINY), where, tier=tier)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("device", "typed", "says"),
    [
        ("mps", "nf4", "--quantize nf4 does not work on MPS. Use --quantize int8."),
        ("mps", "nf4:text_encoder", "Use --quantize int8:text_encoder."),
        ("mps", "nf4:transformer", "Use --quantize int8:transformer."),
        ("cpu", "nf4:transformer", "nf4:text_encoder, or --quantize int8:transformer."),
    ],
)
def test_another_quantisation_is_offered_for_the_same_part(
    device: str, typed: str, says: str
) -> None:
    with pytest.raises(RequestError) as error:
        check_options(MemoryOptions.of(quantize=typed), Machine(device=device))
    assert says in str(error.value)


def test_savings_are_checked_against_the_requested_tier_before_planning() -> None:
    two = Machine.of("2x RTX 3060")
    check_options(MemoryOptions.of(tier="stream", fp8=True), two)
    with pytest.raises(TierError, match="'balanced' does not work with --fp8"):
        check_options(MemoryOptions.of(tier="balanced", fp8=True), two)
