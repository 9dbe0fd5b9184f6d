"""The runs of one job: a plan, and the next that needs less each time memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from cogmagic._errors import TierError
from cogmagic._interrupts import interrupts_ignored
from cogmagic._machine.allocator import empty_cache
from cogmagic._machine.failures import drop_tracebacks, is_host_shortage, is_shortage
from cogmagic._machine.machine import Machine
from cogmagic._models.chunks import chunk_spans
from cogmagic._pipeline.chunks import FinishedChunks
from cogmagic._pipeline.parallel.split import WHOLE
from cogmagic._planning.dtype import dtype_for
from cogmagic._planning.plan import Plan
from cogmagic._planning.resolved import resolved
from cogmagic._progress import Clock
from cogmagic._session.calibration import record_reading, record_run
from cogmagic._session.diagnosis import Shortage, cause_of
from cogmagic._session.fallback import attempt_title, cheaper, ran_out, with_attempts
from cogmagic._session.first_plan import first_plan
from cogmagic._session.parallel.failures import WorkerLost
from cogmagic._session.parallel.frames import ParallelRun, workers_for
from cogmagic._session.pipeline_slot import PipelineSlot, placement_key
from cogmagic._session.prepare import Job
from cogmagic._session.run import Run
from cogmagic._video.report import Report

if TYPE_CHECKING:
    import numpy as np
    import torch

__all__ = ["encode", "frames_of"]

Result = TypeVar("Result")


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
    finished = FinishedChunks(chunk_spans(job.request))  # by this process; workers keep none

    def make(run: Run | ParallelRun) -> tuple[np.ndarray[Any, Any], Report]:
        if isinstance(run, ParallelRun):
            return run.frames()
        frames, report = run.frames(slot.hot, finished)
        if job.learned and not run.loaded.unpinned:  # else it did not run as planned
            record_run(run.machine, run.plan, report)
        if not run.loaded.unpinned:
            record_reading(run.machine, run.plan, report)
        return frames, report

    machine, chosen = _planned(job, slot)
    try:
        (frames, report), failed = _tried(job, slot, machine, chosen, clock, make, finished)
    except BaseException:
        with interrupts_ignored():
            if job.stay:
                slot.plan = chosen  # by which the batch leaves the weights at its end
            else:
                slot.keep(chosen)
        raise
    with interrupts_ignored():
        kept = "" if job.stay else slot.keep(slot.plan or chosen)
    return frames, with_attempts(replace(report, kept=kept), failed)


def encode(
    job: Job,
    texts: Sequence[str],
    receive: Callable[[str, torch.Tensor], None],
    slot: PipelineSlot,
    clock: Clock,
) -> None:
    """Encode the texts of a batch's rows, and take the text encoder off the GPU.

    Args:
        job: one of the rows, without embeddings.
        texts: the texts.
        receive: called with each text and its embeddings, which are in host memory.
        slot: holds the pipeline.
        clock: receives phases and steps, and may stop the run.

    Raises:
        OutOfMemoryError: when memory ran out in every plan that was tried.
        TierError: when nothing fits.
    """
    left = dict.fromkeys(texts)

    def take(text: str, embeds: torch.Tensor) -> None:
        del left[text]
        receive(text, embeds)

    def encode_left(run: Run | ParallelRun) -> None:
        if isinstance(run, ParallelRun):
            run.encode(tuple(left), take)
        else:
            run.encode(tuple(left), take, slot.hot)

    machine, plan = _planned(job, slot)
    slot.plan = plan
    _tried(job, slot, machine, plan, clock, encode_left, FinishedChunks(()))
    if slot.loaded and slot.loaded.weights != "gpus":  # whose loader places all or nothing
        slot.hot.cool()


def _tried(
    job: Job,
    slot: PipelineSlot,
    machine: Machine,
    chosen: Plan,
    clock: Clock,
    act: Callable[[Run | ParallelRun], Result],
    finished: FinishedChunks,
) -> tuple[Result, list[tuple[Plan, Shortage]]]:
    """The outcome of `chosen`, or of the first of the cheaper plans that has enough memory.

    Between attempts the weights stay in host memory, whatever `keep` is, so they are read once.
    """
    failed: list[tuple[Plan, Shortage]] = []
    while True:
        outcome = _attempt(job, slot, machine, chosen, clock, act)
        if not isinstance(outcome, Exception):
            slot.plan = chosen
            return outcome, failed
        if is_host_shortage(outcome):
            slot.drop()
        before, machine = machine, slot.look(job.options, frames=finished.nbytes)
        cause = cause_of(outcome, chosen, before, machine).after(finished.text)
        if job.learned and chosen.split == WHOLE and cause.kind in ("device", "fragmented"):
            record_run(before, chosen, None)
        failed.append((chosen, cause))
        following = cheaper(job, chosen, cause, machine, loaded=_is_loaded(job, slot, machine))
        if following is None:
            raise ran_out(failed)
        if job.stay and chosen.split != WHOLE:
            slot.most_workers = following.split.count
        lost = "lost a worker" if cause.lost else "ran out of memory"
        kept = f", keeping {finished.text}" if finished.text else ""
        clock.start_over(
            f"{job.request.model.name}, {attempt_title(following)} after"
            f" {attempt_title(chosen)} {lost}{kept}"
        )
        chosen = following


def _planned(job: Job, slot: PipelineSlot) -> tuple[Machine, Plan]:
    """This machine, and the first plan on it. Garbage is collected only where memory is short."""
    if job.stay and slot.most_workers:  # as many as an earlier row could use
        job = replace(job, options=replace(job.options, parallel=slot.most_workers))
    with suppress(TierError):
        machine = slot.look(job.options, collect=False)
        chosen = _first_plan(job, slot, machine)
        if chosen.candidates and all(c.fits for c in chosen.candidates):
            return machine, chosen
    machine = slot.look(job.options)
    return machine, _first_plan(job, slot, machine)


def _first_plan(job: Job, slot: PipelineSlot, machine: Machine) -> Plan:
    key = slot.hot.key if slot.workers is None else slot.workers_key

    def is_placed(plan: Plan) -> bool:
        return key is not None and key == placement_key(job.folder, plan, machine)

    before = slot.plan if key is not None else None
    placed = (before.tier, before.variant) if before else None
    loaded = _is_loaded(job, slot, machine)
    return first_plan(job, machine, is_placed, loaded=loaded, placed=placed)


def _is_loaded(job: Job, slot: PipelineSlot, machine: Machine) -> bool:
    """Whether the kernel, or the workers, have the weights in host memory as the job needs them."""
    if job.options.parallel != 1:
        workers = slot.workers
        if workers is None or slot.workers_folder != job.folder:
            return False
        return bool(workers.weights or sum(workers.hot.values()))  # staged loading leaves none
    dtype = dtype_for(job.request, machine)
    storage = resolved(job.request.model, job.options, machine, dtype).savings.stored_as
    return slot.has(job.folder, dtype, storage)


def _attempt(
    job: Job,
    slot: PipelineSlot,
    machine: Machine,
    plan: Plan,
    clock: Clock,
    act: Callable[[Run | ParallelRun], Result],
) -> Result | Exception:
    """The outcome of a plan, or the shortage that ended it, which keeps no tensor alive."""
    try:
        if plan.split != WHOLE:
            return _by_workers(job, slot, machine, plan, clock, act)
        loaded = slot.load(job.request.model, job.folder, plan, machine, clock.check)
        return act(Run(job, machine, plan, loaded, clock))
    except Exception as error:
        if not (is_shortage(error) or isinstance(error, WorkerLost)):
            raise
        shortage = error
    with interrupts_ignored():
        drop_tracebacks(shortage)
        empty_cache()
    return shortage


def _by_workers(
    job: Job,
    slot: PipelineSlot,
    machine: Machine,
    plan: Plan,
    clock: Clock,
    act: Callable[[Run | ParallelRun], Result],
) -> Result:
    """The outcome of a plan with a split; after an error the slot holds no ended worker."""
    slot.workers_key = slot.workers_folder = None  # until they hold the weights again
    try:
        workers = workers_for(plan, slot, clock)
        outcome = act(ParallelRun(job, machine, plan, workers, clock))
    except BaseException:
        with interrupts_ignored():
            if slot.workers is not None and not slot.workers.alive:
                slot.end_workers()
        raise
    slot.workers_key = placement_key(job.folder, plan, machine)
    slot.workers_folder = job.folder
    return outcome
