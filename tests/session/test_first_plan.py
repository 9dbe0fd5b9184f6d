"""The first plan of a run, which must not end the kernel."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from cogmagic import Machine, TierError
from cogmagic._machine.ram import Ram
from cogmagic._planning.options import MemoryOptions
from cogmagic._session.first_plan import first_plan
from cogmagic._units import GIB
from tests.helpers.plans import five, job, plan


def test_a_named_tier_that_would_end_the_kernel_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    wish, swap = job(MemoryOptions(tier="stream")), SimpleNamespace(free=0)
    monkeypatch.setattr("psutil.swap_memory", lambda: swap)
    with pytest.raises(TierError) as error:
        first_plan(wish, Machine.of("RTX 4090", ram=12), lambda _: False)
    assert "Tier 'stream' needs 21.09 GiB" in str(error.value)
    assert str(error.value).endswith("the kernel would be killed. Use --tier model.")
    swap.free = 16 * GIB
    assert first_plan(wish, Machine.of("RTX 4090", ram=12), lambda _: False).tier == "stream"
    swap.free = 0  # VRAM that runs out is an error, and may be tried
    wish = job(MemoryOptions(tier="none"))
    assert first_plan(wish, Machine.of("RTX 3060", ram=64), lambda _: False).tier == "none"


def test_the_guard_against_being_killed_holds_on_a_cpu() -> None:
    from cogmagic._session.first_plan import would_be_killed

    machine = replace(Machine(), ram=Ram(total=4 * GIB, available=4 * GIB))
    for tier in ("none", "model", "sequential", "stream"):
        assert "the kernel would be killed" in would_be_killed(plan(five(), machine, tier=tier))
