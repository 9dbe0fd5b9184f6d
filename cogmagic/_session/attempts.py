"""The runs of one job: a plan, and the next that needs less each time memory runs out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cogmagic._interrupts import interrupts_ignored
from cogmagic._machine.allocator import empty_cache
from cogmagic._machine.failures import drop_tracebacks, is_host_shortage, is_shortage
from cogmagic._machine.machine import Machine
from cogmagic._planning.dtype import dtype_for
from cogmagic._planning.plan import Plan
from cogmagic._progress import Clock
from cogmagic._session.calibration import record_run
from cogmagic._session.diagnosis import Shortage, cause_of
from cogmagic._session.fallback import cheaper, ran_out
from cogmagic._session.first_plan import first_plan
from cogmagic._session.pipeline_slot import PipelineSlot, placement_key
from cogmagic._session.prepare import Job
from cogmagic._session.run import Run
from cogmagic._video.report import Report

if TYPE_CHECKING:
    import numpy as np

__all__ = ["frames_of"]


def frames_of(job: Job, slot: PipelineSlot, clock: Clock) -> tuple[np.ndarray[Any, Any], Report]:
    """The frames (uint8 RGB, frames × height × width × 3) and the report of a job.

    Args:
        job: what to make.
        slot: holds the pipeline.
        clock: receives phases and steps, and may stop a run.

    Raises:
        OutOfMemoryError: when memory ran out in every plan that was tried.
        TierError: when nothing fits.
    """
    machine = slot.look(job.options)
    chosen = _first_plan(job, slot, machine)
    try:
        return _tried(job, slot, machine, chosen, clock)
    except BaseException:
        with interrupts_ignored():
            slot.keep(chosen)
        raise


def _tried(
    job: Job, slot: PipelineSlot, machine: Machine, chosen: Plan, clock: Clock
) -> tuple[np.ndarray[Any, Any], Report]:
    """The outcome of `chosen`, or of the first of the cheaper plans that has enough memory.

    Between attempts the weights stay in host memory, whatever `keep` is, so they are read once.
    """
    failed: list[tuple[Plan, Shortage]] = []
    while True:
        outcome = _attempt(job, slot, machine, chosen, clock)
        if not isinstance(outcome, Exception):
            frames, report = outcome
            with interrupts_ignored():
                kept = slot.keep(chosen)
            return frames, _with_attempts(replace(report, kept=kept), failed)
        if is_host_shortage(outcome):
            slot.drop()
        before, machine = machine, slot.look(job.options)
        cause = cause_of(outcome, chosen, before, machine)
        if job.plain and cause.kind in ("device", "fragmented"):
            record_run(before, chosen, None)
        failed.append((chosen, cause))
        following = cheaper(job, chosen, cause, machine, loaded=_is_loaded(job, slot, machine))
        if following is None:
            raise ran_out(failed)
        clock.start_over(
            f"{job.request.model.name}, {following.placement.title} after"
            f" {chosen.placement.title} ran out of memory"
        )
        chosen = following


def _first_plan(job: Job, slot: PipelineSlot, machine: Machine) -> Plan:
    key = slot.hot.key

    def is_placed(plan: Plan) -> bool:
        return key is not None and key == placement_key(job.folder, plan, machine)

    return first_plan(job, machine, is_placed, loaded=_is_loaded(job, slot, machine))


def _is_loaded(job: Job, slot: PipelineSlot, machine: Machine) -> bool:
    """Whether the weights are in host memory, as the job needs them."""
    return slot.has(job.folder, dtype_for(job.request, machine), job.options.savings.storage)


def _attempt(
    job: Job, slot: PipelineSlot, machine: Machine, plan: Plan, clock: Clock
) -> tuple[np.ndarray[Any, Any], Report] | Exception:
    """The outcome of a plan, or the shortage that ended it, which keeps no tensor alive."""
    try:
        loaded = slot.load(job.request.model, job.folder, plan, machine, clock.check)
        frames, report = Run(job, machine, plan, loaded, clock).frames(slot.hot)
        if job.plain and not loaded.unpinned:  # else it did not run as planned
            record_run(machine, plan, report)
        return frames, report
    except Exception as error:
        if not is_shortage(error):
            raise
        shortage = error
    with interrupts_ignored():
        drop_tracebacks(shortage)
        empty_cache()
    return shortage


def _with_attempts(report: Report, failed: list[tuple[Plan, Shortage]]) -> Report:
    """The report, with the plans that ran out of memory before."""
    if not failed:
        return report
    attempts = " and ".join(f"with {p.placement.title} {cause.text}" for p, cause in failed)
    return replace(report, reason=f"{report.reason}; {attempts}")
