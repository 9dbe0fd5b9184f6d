"""A run by several workers: the same as `Run` for the kernel, which computes nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cogmagic._machine.allocator import empty_cache
from cogmagic._machine.machine import Machine
from cogmagic._pipeline.guidance import step_work
from cogmagic._pipeline.preview import OnPreview
from cogmagic._planning.parallel import of_rank
from cogmagic._planning.plan import Plan
from cogmagic._progress import Clock, Progress
from cogmagic._session.parallel.messages import (
    Done,
    Embedded,
    Encode,
    Make,
    PhaseBegan,
    Previewed,
    Reported,
    StepEnded,
)
from cogmagic._session.parallel.start import Where
from cogmagic._session.parallel.workers import Workers
from cogmagic._session.pipeline_slot import PipelineSlot
from cogmagic._session.prepare import Job
from cogmagic._video.report import Report

if TYPE_CHECKING:
    import numpy as np
    import torch

__all__ = ["ParallelRun", "workers_for"]


_KINDS = {"cuda": ("GPU", "GPUs"), "cpu": ("process", "CPU processes")}


def workers_for(plan: Plan, slot: PipelineSlot, clock: Clock) -> Workers:
    """The workers of `plan`'s ranks: those that are waiting, or new ones in place of all else.

    Args:
        plan: with a split.
        slot: holds the workers, or the kernel's own pipeline, which is dropped.
        clock: receives the progress, and may stop the run.

    Raises:
        CogMagicError: when they cannot start or connect.
    """
    where, workers = Where(plan.device, plan.ranks), slot.workers
    if not (isinstance(workers, Workers) and workers.where == where and workers.alive):
        slot.drop()
        empty_cache()  # the plan counts on it
        count = len(where.ranks)
        clock.report(Progress("load", note=f"{plan.request.model.name}, {count} workers start"))
        slot.workers = workers = Workers(where, clock.check)
    workers.join(plan.split, clock.check)
    return workers


@dataclass(frozen=True)
class ParallelRun:
    """One run of a plan with a split."""

    job: Job
    machine: Machine
    plan: Plan
    workers: Workers
    clock: Clock
    """Receives phases and steps, and may stop the run."""

    def frames(self) -> tuple[np.ndarray[Any, Any], Report]:
        """The frames (uint8 RGB, frames × height × width × 3) and the report."""
        job, show = replace(self.job, show=None, earlier=None), self.job.show
        self.clock.step_work = step_work(job.request, self.plan.split.guidance > 1)
        messages = [
            Make(
                job,
                self._machine_of(gpu),
                of_rank(self.plan, rank),
                self.clock.warning,
                show is not None,
            )
            for rank, gpu in enumerate(self.plan.ranks)
        ]
        done = self.workers.run(messages, self.clock.check, self._follow(show))
        self.clock.end()
        frames = done[0].frames
        assert frames is not None  # noqa: S101 - rank 0 has them
        return frames, self._report(done)

    def encode(self, texts: Sequence[str], receive: Callable[[str, torch.Tensor], None]) -> None:
        """Encode the texts of a batch's rows on rank 0 alone."""
        follow = self._follow(None)

        def take(message: object) -> None:
            if isinstance(message, Embedded):
                receive(message.text, message.embeds)
            else:
                follow(message)

        machine = self._machine_of(self.plan.ranks[0])
        job = replace(self.job, show=None)
        message = Encode(job, machine, self.plan, tuple(texts))
        self.workers.run([message], self.clock.check, take)
        self.clock.end()

    def _follow(self, show: OnPreview | None) -> Callable[[object], None]:
        """What repeats rank 0's progress on the kernel's clock, and shows its previews."""
        clock, shown = self.clock, show

        def follow(message: object) -> None:
            nonlocal shown
            match message:
                case PhaseBegan(phase, total, note):
                    clock.phase(phase, total, note)
                case StepEnded(done, total):
                    clock.step(done, total)
                case Reported(progress):
                    clock.report(progress)
                case Previewed(pixels) if shown is not None:
                    try:
                        shown(pixels)
                    except Exception:  # ends the previews, never the video
                        shown = None

        return follow

    def _machine_of(self, gpu: int) -> Machine:
        """The machine with one rank's GPU alone, of whose memory the worker has nothing yet."""
        gpus = tuple(
            replace(g, reserved=None, allocated=None) for g in self.machine.gpus if g.index == gpu
        )
        return replace(self.machine, gpus=gpus)

    def _report(self, done: Sequence[Done]) -> Report:
        """Rank 0's report, with the peaks of all ranks and the seconds of the kernel."""
        reports = [d.report for d in done if d.report is not None]
        one, _ = _KINDS[self.plan.device]
        phases: dict[str, int] = {}
        for report in reports:
            for phase, peak in report.peak_phases.items():
                phases[phase] = max(phases.get(phase, 0), peak)
        return replace(
            reports[0],
            device=self.machine.device_names(self.plan.ranks),
            split=split_text(self.plan),
            differs=f"frames may differ from one {one}'s in rounding",
            peak_allocated={i: n for r in reports for i, n in r.peak_allocated.items()},
            peak_reserved={i: n for r in reports for i, n in r.peak_reserved.items()},
            peak_phases=phases,
            peak_ram=sum(r.peak_ram or 0 for r in reports),
            peak_ranks=tuple(r.own_peak or 0 for r in reports if r.peak_allocated),
            predicted_ranks=self.plan.peaks_allocated,
            step_seconds=self.clock.step_seconds(
                "denoise", mean=reports[0].guided_steps is not None
            ),
            seconds=self.clock.seconds,
        )


def split_text(plan: Plan) -> str:
    """The split in words, such as ``2 GPUs (guidance 2 x tokens 1)``."""
    return f"{plan.split.count} {_KINDS[plan.device][1]} ({plan.split})"
