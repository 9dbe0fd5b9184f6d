"""The plan that a run begins with, and when it is refused."""

from __future__ import annotations

from collections.abc import Callable

from cogmagic._errors import TierError
from cogmagic._machine.machine import Machine
from cogmagic._pipeline.compile import check_compiler
from cogmagic._planning.plan import Plan
from cogmagic._planning.planner import plan
from cogmagic._session.prepare import Prepared
from cogmagic._units import gib

__all__ = ["first_plan", "would_be_killed"]


def first_plan(
    job: Prepared, machine: Machine, waits: Callable[[Plan], bool], *, loaded: bool = False
) -> Plan:
    """The plan for what is free now.

    Args:
        job: what to make.
        machine: where.
        waits: whether the pipeline is placed already as a plan has it; it is not placed anew then
            only to leave out a text encoder that is not needed.
        loaded: whether the weights are in host memory.

    Raises:
        TierError: when nothing fits, unless the person wants it tried, and host memory allows that.
    """
    placing = job.placing
    chosen = _planned(job, machine, text=True, loaded=loaded)
    if job.kept is not None and not (chosen.fits and waits(chosen)):
        chosen = _planned(job, machine, text=False, loaded=loaded)
    if not chosen.fits and placing.cautious:
        raise TierError(_nothing_fits(chosen))
    if said := would_be_killed(chosen):
        raise TierError(said)
    if placing.compile:
        check_compiler(machine.device, chosen.tier)
    return chosen


def would_be_killed(chosen: Plan) -> str:
    """What to say if host memory is much too small: running out of it ends the kernel.

    A tenth is what host memory is predicted to (docs/benchmarks); what can be swapped out is room.
    """
    import psutil

    candidate = chosen.chosen
    if candidate is None and chosen.device != "cuda":  # where tiers hardly differ
        candidate = next(iter(chosen.candidates), None)
    if candidate is None:
        return ""
    need = candidate.peak_ram
    if candidate.missing_ram <= need * 0.1 + psutil.swap_memory().free:
        return ""
    others = sorted(chosen.candidates, key=lambda c: c.missing_vram)
    other = next((c.tier for c in others if not c.missing_ram), None)
    way = f"Use --tier {other}." if other else "End other kernels, or use --model 2b."
    return (
        f"Tier {chosen.tier!r} needs {gib(need)} of RAM, {gib(candidate.missing_ram)} more than"
        f" there is: the kernel would be killed. {way}"
    )


def _planned(job: Prepared, machine: Machine, *, text: bool, loaded: bool) -> Plan:
    placing = job.placing
    return plan(
        job.request,
        machine,
        text=text,
        loaded=loaded,
        tier=placing.tier,
        policy=placing.policy,
        vram_limit=placing.vram_limit,
        folder=job.folder,
        savings=placing.savings,
    )


def _nothing_fits(chosen: Plan) -> str:
    r = chosen.request
    said = f"{r.model.name} at {r.size} with {r.num_frames} frames does not fit: {chosen.reason}"
    said += f" ({chosen.where})."
    if chosen.changes:
        said += f" It would with {'; or with '.join(chosen.changes)}."
    return said + f" To try all the same: --tier {chosen.tier}."
