"""What plans say of each tier."""

from __future__ import annotations

import pytest

import cogmagic
from cogmagic import Machine
from cogmagic._tiers.registry import TIERS

MEANINGS = {
    "none": "none (no offload): every component on the device",
    "model": "model (model offload): one whole component on the GPU at a time",
    "stream": "stream (streaming): blocks copied from page-locked memory while others compute",
    "staged": (
        "staged (staged loading): each component from its files to the GPU when it is needed,"
        " then gone"
    ),
    "sequential": "sequential (sequential offload): each layer on the GPU only while it runs",
    "balanced": "balanced: whole components spread over the GPUs, no offload",
}


def test_every_tier_has_a_meaning() -> None:
    assert MEANINGS.keys() == TIERS.keys()


@pytest.mark.parametrize("tier", MEANINGS)
def test_plan_states_what_the_tier_does(tier: str) -> None:
    plan = cogmagic.plan(model="5b", machine=Machine.of("2x RTX 3090"), tier=tier)
    assert f"\ntier     {MEANINGS[tier]}\n" in str(plan)


@pytest.mark.parametrize("tier", TIERS)
def test_every_tier_has_the_phases_of_a_run(tier: str) -> None:
    plan = cogmagic.plan(model="5b", machine=Machine.of("2x RTX 3090"), tier=tier)
    assert plan.chosen is not None
    phases = plan.chosen.needs.gpus
    names = dict.fromkeys(name for gpu in phases for name in gpu)
    streamed = {"before decode"} if tier == "stream" else set()
    assert names.keys() == {"load", "encode", "denoise", "decode"} | streamed


def test_weights_can_stay_on_the_gpu_where_the_tier_has_them_all_there() -> None:
    assert {name for name, tier in TIERS.items() if tier.on_gpu} == {"none", "balanced"}
