"""Seconds of loading: from the disk, from the page cache, and the paces that runs measure."""

from __future__ import annotations

import pytest

from cogmagic import Machine
from cogmagic._planning.memory_options import Available, MemoryOptions
from cogmagic._planning.plan import Plan
from cogmagic._planning.planner import plan
from tests.helpers.plans import five

MACHINE = Machine.of("H100 SXM")


def planned(tier: str, **available: float) -> Plan:
    return plan(five(), MACHINE, MemoryOptions(tier=tier), Available(**available))  # type: ignore[arg-type]


@pytest.mark.parametrize("tier", ["none", "stream", "staged"])
def test_a_cached_checkpoint_is_not_read_from_the_disk(tier: str) -> None:
    assert MACHINE.rates is not None
    disk, half, cached = (planned(tier, cached=share) for share in (0.0, 0.5, 1.0))
    assert disk.seconds is not None
    assert half.seconds is not None
    assert cached.seconds is not None
    read = 21_527_605_574 / MACHINE.rates.disk  # 5b, whose VAE is stored in float32
    assert disk.seconds - cached.seconds == pytest.approx(read, rel=0.01)
    assert half.seconds - cached.seconds == pytest.approx(read / 2, rel=0.01)
    # An H100's first run from the page cache took 14.9 s with 3 steps of 1.85 s.
    if tier == "none":
        assert cached.seconds - 47 * 1.847 == pytest.approx(14.9, rel=0.15)


@pytest.mark.parametrize(("name", "cached"), [("disk", 0.0), ("copying", 1.0)])
def test_a_run_measures_the_pace_at_which_its_loading_would_be_predicted(
    name: str, cached: float
) -> None:
    from dataclasses import replace

    rates = MACHINE.rates
    assert rates is not None
    chosen = planned("none", cached=cached, first_run=False).chosen
    assert chosen is not None
    read = chosen.needs.loading
    pace = 3e9
    slow = replace(rates, **{name: pace})  # type: ignore[arg-type]
    measured = read.measured(read.seconds(slow), rates)
    assert measured is not None
    assert measured == (name, pytest.approx(pace))
    assert (read.measured(0.0, rates) or ("", 0))[0] == name  # no division by zero
    partly = planned("none", cached=0.97).chosen
    assert partly is not None
    assert partly.needs.loading.measured(9.0, rates) is None  # too little of either
    first = planned("none", cached=cached).chosen
    assert first is not None
    pace_of_first = first.needs.loading.measured(9.0, rates)
    assert (pace_of_first is not None) == (name == "disk")  # copies are too short beside the rest


def test_loaded_weights_and_those_of_other_phases_measure_nothing() -> None:
    assert MACHINE.rates is not None
    for tier, available in (("none", {"weights_loaded": True}), ("staged", {"cached": 0.0})):
        chosen = planned(tier, **available).chosen
        assert chosen is not None
        assert chosen.needs.loading.measured(9.0, MACHINE.rates) is None
