"""The plan to try next after memory ran out: the next one that needs less of it."""

from __future__ import annotations

from dataclasses import replace

from cogmagic._errors import OutOfMemoryError
from cogmagic._machine.machine import Machine
from cogmagic._pipeline.parallel.split import WHOLE
from cogmagic._planning.memory_options import MemoryOptions
from cogmagic._planning.plan import Plan
from cogmagic._planning.ranks import legal_counts
from cogmagic._session.diagnosis import Shortage
from cogmagic._session.first_plan import planned
from cogmagic._session.parallel.frames import split_text
from cogmagic._session.prepare import Job
from cogmagic._tiers.registry import TIERS
from cogmagic._units import gib
from cogmagic._video.report import Report

__all__ = ["attempt_title", "cheaper", "ran_out", "with_attempts"]

_REDUCTION = 0.9
"""The next plan may need at most this share of the failed one's predicted memory."""


def cheaper(
    job: Job, failed: Plan, cause: Shortage, now: Machine, *, loaded: bool = False
) -> Plan | None:
    """The next plan to try with the same request, or None.

    It is the fastest that is predicted to need less; where too little is free now for any, the one
    that needs least, once.

    Args:
        job: what to make; with a tier that was asked for, no other is tried.
        failed: the plan that ran out.
        cause: which memory ran out, and why.
        now: the machine after that.
        loaded: whether the weights are in host memory.
    """
    if failed.split != WHOLE:
        return _with_fewer(job, failed, cause, now)
    options = replace(job.options, parallel=1)
    if not options.cautious or cause.kind == "attention" or failed.placement.several_gpus:
        return None
    shared = failed.chosen is not None and failed.chosen.shared
    if now.device == "cpu" or (cause.of_host and shared):
        return _from_files(job, failed, cause, now)
    machine = now
    if cause.of_host:
        machine = _with_less_ram(now, failed.peak_ram)
    else:
        options = _with_less_vram(options, failed, now)
    following = _following(job, machine, options, loaded=loaded)
    if not following.fits:  # the one that comes closest is tried anyway
        forced = replace(options, tier=following.tier)
        following = _following(job, machine, forced, loaded=loaded)
        if following.refusal:
            return None
    return following if _needs_less(following, failed, cause) else None


def _with_fewer(job: Job, failed: Plan, cause: Shortage, now: Machine) -> Plan | None:
    """The plan for the next smaller number of workers that may be tried, and finally for one.

    With a tier that was asked for, fewer GPUs need no less VRAM each.
    """
    options, machine = job.options, now
    if cause.kind not in ("host", "lost"):
        if not options.cautious:
            return None
        options = _with_less_vram(options, failed, now)
    elif cause.of_host and failed.split.count > 2:
        machine = _with_less_ram(now, failed.peak_ram)
    for count in reversed(legal_counts(job.request, failed.split.count - 1)):
        following = planned(job, machine, replace(options, parallel=count), loaded=False)
        if not following.refusal:
            reason = "fewer workers" if count > 1 else "one process"
            return replace(following, reason=f"{reason}, after {failed.split.count} failed")
    return None


def _with_less_vram(options: MemoryOptions, failed: Plan, now: Machine) -> MemoryOptions:
    """The options with a limit below what the failed plan needed."""
    if failed.peak_vram is None:
        return options
    allocated = now.roomiest.allocated if now.roomiest else None  # a limit counts that as well
    less = round(failed.peak_vram * _REDUCTION) + (allocated or 0)
    return replace(options, vram_limit=min(less, options.vram_limit or less))


def _from_files(job: Job, failed: Plan, cause: Shortage, now: Machine) -> Plan | None:
    """A plan that leaves the weights in their files, where no GPU has memory of its own."""
    if not cause.of_host or failed.placement.weights == "files":
        return None
    tier = next(tier.name for tier in TIERS.values() if tier.weights == "files")
    return _following(job, now, replace(job.options, tier=tier), loaded=False)


def _following(job: Job, machine: Machine, options: MemoryOptions, *, loaded: bool) -> Plan:
    following = planned(job, machine, options, loaded=loaded)
    return replace(following, reason="the next tier that needs less memory")


def _with_less_ram(machine: Machine, peak: int | None) -> Machine:
    if peak is None or machine.ram.available is None:
        return machine
    most = max(round(peak * _REDUCTION) - machine.ram.mine, 0)
    ram = replace(machine.ram, available=min(machine.ram.available, most))
    return replace(machine, ram=ram)


def _needs_less(following: Plan, failed: Plan, cause: Shortage) -> bool:
    plans = (following, failed)
    one, other = (p.peak_ram if cause.of_host else p.peak_vram for p in plans)
    return one is not None and other is not None and one < other


def ran_out(failed: list[tuple[Plan, Shortage]]) -> OutOfMemoryError:
    """The error at the end: what was tried, why it failed, and what would need less."""
    last, cause = failed[-1]
    r = last.request
    attempts = ", then with ".join(_attempt(p, c) for p, c in failed)
    text = (
        f"{r.model.name} at {r.size} with {r.num_frames} frames ran out of memory with {attempts}."
    )
    if cause.kind == "attention":
        return OutOfMemoryError(text)
    changes = "; or with ".join(last.changes) or "a smaller --size or fewer --num-frames"
    return OutOfMemoryError(f"{text} It would need less with {changes}.")


def with_attempts(report: Report, failed: list[tuple[Plan, Shortage]]) -> Report:
    """The report, with the plans that ran out of memory before."""
    if not failed:
        return report
    attempts = " and ".join(f"with {attempt_title(p)} {cause.text}" for p, cause in failed)
    return replace(report, reason=f"{report.reason}; {attempts}")


def _attempt(plan: Plan, cause: Shortage) -> str:
    peak = plan.peak_ram if cause.of_host else plan.peak_vram
    predicted = f" ({gib(peak)} predicted)" if peak is not None else ""
    return f"{attempt_title(plan)}{predicted}: {cause.text}"


def attempt_title(plan: Plan) -> str:
    """How a plan runs, in words: its tier, and the processes that it is divided among."""
    title = plan.placement.title
    return title if plan.split == WHOLE else f"{title} on {split_text(plan)}"
