"""What to try when memory ran out: the next plan that needs less of what ran out."""

from __future__ import annotations

from dataclasses import replace

from cogmagic._errors import OutOfMemoryError
from cogmagic._machine.machine import Machine
from cogmagic._planning.plan import Plan
from cogmagic._planning.planner import plan
from cogmagic._session.diagnosis import Shortage
from cogmagic._session.first_plan import would_be_killed
from cogmagic._session.prepare import Prepared
from cogmagic._units import gib

__all__ = ["cheaper", "ran_out"]


_LESS = 0.9
"""The next plan is to need at most this part of what the one before it was said to need."""


def cheaper(job: Prepared, failed: Plan, cause: Shortage, now: Machine) -> Plan | None:
    """The next plan to try with the same request, or None where there is none.

    It is the fastest that is said to need less; where what is free now is too little for any, the
    one that needs least, once.

    Args:
        job: what to make, placed as the person wants it; who asked for a tier gets no other.
        failed: the plan that ran out.
        cause: of what, and why.
        now: the machine after that.
    """
    if not job.placing.cautious or cause.kind == "attention" or failed.tier == "balanced":
        return None
    if now.device != "cuda":
        return _planned(job, now, "staged") if cause.of_host and failed.tier == "none" else None
    limit, machine = job.placing.vram_limit, now
    if cause.of_host:
        machine = _with_less_ram(now, failed.peak_ram)
    elif failed.peak_vram is not None:
        held = now.roomiest.allocated if now.roomiest else None  # a limit counts that as well
        less = round(failed.peak_vram * _LESS) + (held or 0)
        limit = min(less, limit or less)
    found = _planned(job, machine, None, limit)
    if not found.fits:
        found = _planned(job, machine, found.tier, limit)  # tried all the same
        if would_be_killed(found):
            return None
    if job.placing.compile and found.tier == "sequential":  # its layers come one by one
        return None
    if not _needs_less(found, failed, cause):
        return None
    return found


def _planned(job: Prepared, machine: Machine, tier: str | None, limit: int | None = None) -> Plan:
    found = plan(
        job.request,
        machine,
        tier=tier,
        text=job.kept is None,
        vram_limit=limit,
        folder=job.folder,
        savings=job.placing.savings,
    )
    return replace(found, reason="the next that needs less")


def _with_less_ram(machine: Machine, peak: int | None) -> Machine:
    if peak is None or machine.ram.available is None:
        return machine
    most = max(round(peak * _LESS) - machine.ram.mine, 0)
    ram = replace(machine.ram, available=min(machine.ram.available, most))
    return replace(machine, ram=ram)


def _needs_less(found: Plan, failed: Plan, cause: Shortage) -> bool:
    one, other = (
        (found.peak_ram, failed.peak_ram) if cause.of_host else (found.peak_vram, failed.peak_vram)
    )
    return one is not None and other is not None and one < other


def ran_out(failed: list[tuple[Plan, Shortage]]) -> OutOfMemoryError:
    """The error at the end: what was tried, why it failed, and what would need less."""
    plan_, cause = failed[-1]
    r = plan_.request
    tried = ", then in ".join(_tried(p, c) for p, c in failed)
    said = f"{r.model.name} at {r.size} with {r.num_frames} frames ran out of memory in {tried}."
    if cause.kind == "attention":
        return OutOfMemoryError(said)
    ways = "; or with ".join(plan_.changes) or "a smaller --size or fewer --num-frames"
    return OutOfMemoryError(f"{said} It would need less with {ways}.")


def _tried(plan_: Plan, cause: Shortage) -> str:
    peak = plan_.peak_ram if cause.of_host else plan_.peak_vram
    said = f" (said to need {gib(peak)})" if peak is not None else ""
    return f"tier {plan_.tier}{said}, where {cause.said}"
