"""One video of a validation: generated in every process that must, written by one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogmagic._machine.allocator import Peaks
from cogmagic._machine.machine import Machine
from cogmagic._models.request import Request
from cogmagic._pipeline.finite import FiniteCheck
from cogmagic._pipeline.generate import generate_frames
from cogmagic._pipeline.measure import video_of, with_measurements
from cogmagic._progress import Clock, OnProgress
from cogmagic._version import __version__
from cogmagic._video.output_file import OutputFile
from cogmagic._video.report import Report, metadata
from cogmagic._video.video import Video
from cogmagic.training.plan import ValidationPlan
from cogmagic.training.training_run import TrainingRun

if TYPE_CHECKING:
    import numpy as np
    import torch

__all__ = ["VideoMaker"]


class VideoMaker:
    """Makes and writes the videos of this process.

    Args:
        pipe: the pipeline; placed by the time a video is made.
        accelerator: the training loop's.
        run: the training run.
        on_progress: called with a `Progress` at every step.
    """

    def __init__(
        self, pipe: Any, accelerator: Any, run: TrainingRun, on_progress: OnProgress
    ) -> None:
        self._pipe, self._run, self._on_progress = pipe, run, on_progress
        self._writes = not run.gathers or accelerator.is_main_process
        self.write_errors: list[Exception] = []
        """Errors in writing files while the other processes need this one for the next sample."""

    def make(
        self,
        request: Request,
        embeds: tuple[torch.Tensor, ...],
        plan: ValidationPlan,
        path: Path,
    ) -> Video:
        """The video of `request` from prompt embeddings, at `path`.

        Raises:
            NonFiniteError: when NaN or infinity was computed; nothing is written.
        """
        from cogmagic._pipeline.metal_limits import limits_of

        output = OutputFile.claim(path, request.seed, overwrite=True) if self._writes else None
        clock, peaks = Clock(self._on_progress), Peaks(Machine.detect())
        clock.at_end = peaks.close
        try:
            # Under ZeRO-3 a process that stopped alone would leave the others waiting for it.
            finite = FiniteCheck(_advice(plan), deferred=self._run.gathers)
            with limits_of(self._pipe._execution_device.type):
                frames = generate_frames(self._pipe, request, clock, finite, embeddings=embeds)
            clock.phase("save")
            report = _report(plan, request.preset)
            report = with_measurements(report, request, clock, peaks, frames)
            place = output.path if output else path.resolve()
            video = video_of(place, request, report, len(frames))
            if output:
                self._write(output, request, video, frames)
            clock.end()
        finally:
            if output:
                output.drop()
        return video

    def _write(
        self, output: OutputFile, request: Request, video: Video, frames: np.ndarray[Any, Any]
    ) -> None:
        try:
            facts = metadata(request, video.report)
            output.format.write(output.part, frames, video.fps, facts)
            output.commit()
        except Exception as error:
            if not self._run.gathers:
                raise
            self.write_errors.append(error)


def _advice(plan: ValidationPlan) -> str:
    if plan.dtype == "float16":
        return "float16 may have too little range: try validation(..., dtype='bfloat16')."
    return "The training may have diverged: check its loss and its gradients."


def _report(plan: ValidationPlan, preset: str) -> Report:
    return Report(
        tier=plan.tier,
        reason=plan.reason,
        device=plan.where,
        dtype=plan.dtype,
        preset=preset,
        versions={"cogmagic": __version__},
    )
