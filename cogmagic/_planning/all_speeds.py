"""The plan with the seconds of all speeds. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from cogmagic._machine.machine import Machine
from cogmagic._planning.candidate import Candidate
from cogmagic._planning.candidates import candidates_for, ordered
from cogmagic._planning.memory_options import MemoryOptions
from cogmagic._planning.plan import Plan
from cogmagic._planning.ranks import ranks_in
from cogmagic._planning.resolved import resolved
from cogmagic._planning.rule_of_thumb import named_tier
from cogmagic._planning.speed_times import SpeedTime, SpeedTimes
from cogmagic._planning.speeds import SPEEDS

__all__ = ["with_speeds"]


def with_speeds(plan: Plan, machine: Machine) -> Plan:
    """The plan with the seconds of all speeds; without any where its own are unknown.

    Args:
        plan: at one of the speeds.
        machine: where.
    """
    if plan.seconds is None or not plan.fits:
        return plan
    times = tuple(_times(plan, machine.limited_to(plan.options.vram_limit)))
    return replace(plan, speeds=SpeedTimes(times, plan.options.speed))


def _times(plan: Plan, machine: Machine) -> Iterator[SpeedTime]:
    for name, speed in SPEEDS.items():
        if speed.products and plan.options.savings.narrow_flag:
            continue  # --fp8 or --quantize beside it is an error
        candidate = plan.chosen
        if name != plan.options.speed:
            candidate = _at(replace(plan.options, speed=name), plan, machine)
        if candidate is None or candidate.seconds is None or candidate.next_seconds is None:
            continue
        yield SpeedTime(
            name,
            candidate.tier,
            candidate.seconds,
            candidate.compile_seconds,
            candidate.next_seconds,
        )


def _at(options: MemoryOptions, plan: Plan, machine: Machine) -> Candidate | None:
    """The candidate that a run with other options would use; None where none fits."""
    available, tier = plan.available, named_tier(options, machine)
    before, after = (
        resolved(plan.request.model, o, machine, plan.dtype).savings.stored_as
        for o in (plan.options, options)
    )
    if before != after:  # the weights in host memory are of no use to it
        first = available.first_run and not available.weights_loaded
        available = replace(available, weights_loaded=False, placed=None, first_run=first)
    ranks = ranks_in(plan.split, plan.ranks, machine)
    candidates = candidates_for(plan.request, machine, plan.dtype, options, available, ranks)
    fitting = [c for c in candidates if c.fits and tier in (None, c.placement)]
    return next(iter(ordered(fitting)), None)
