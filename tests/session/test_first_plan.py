"""The first plan of a run, which must not end the kernel."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cogmagic import Machine, TierError
from cogmagic._machine.ram import Ram
from cogmagic._planning.memory_options import MemoryOptions
from cogmagic._session.first_plan import first_plan
from cogmagic._units import GIB
from tests.helpers.plans import five, job, plan


def test_requested_tier_that_would_kill_the_kernel_is_refused() -> None:
    stream, machine = job(MemoryOptions(tier="stream")), Machine.of("RTX 4090", ram=12)
    with pytest.raises(TierError) as error:
        first_plan(stream, machine, lambda _: False)
    assert "Tier 'stream' needs 21.09 GiB" in str(error.value)
    assert str(error.value).endswith("the kernel would be killed. Use --tier model.")
    swapping = replace(machine, ram=replace(machine.ram, swap=16 * GIB))
    assert first_plan(stream, swapping, lambda _: False).tier == "stream"
    # Running out of VRAM is only an error, so it may be tried.
    none = job(MemoryOptions(tier="none"))
    assert first_plan(none, Machine.of("RTX 3060", ram=64), lambda _: False).tier == "none"


def test_too_little_host_memory_is_refused_on_a_cpu() -> None:
    machine = replace(Machine(), ram=Ram(total=4 * GIB, available=4 * GIB))
    for tier in ("none", "model", "sequential", "stream"):
        assert "the kernel would be killed" in plan(five(), machine, tier=tier).refusal
