"""The videos of one validation: checked, planned, made by whichever process, told to all."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogmagic._errors import OutputError, RequestError, TrainingError
from cogmagic._footprint.footprint import footprint
from cogmagic._machine.failures import drop_tracebacks
from cogmagic._machine.machine import Machine
from cogmagic._machine.memory import Peaks
from cogmagic._models.catalog import Dtype, Model
from cogmagic._models.request import Request
from cogmagic._pipeline.generate import generate_frames
from cogmagic._progress import Clock, OnProgress
from cogmagic._version import __version__
from cogmagic._video.mp4 import write_mp4
from cogmagic._video.output_file import OutputFile
from cogmagic._video.report import Report, metadata
from cogmagic._video.video import Video
from cogmagic.training.accelerate_run import TrainingRun, release_gathered
from cogmagic.training.borrowed import BorrowedPipeline
from cogmagic.training.meeting import listen, meet, tell
from cogmagic.training.plan import ValidationPlan, plan_validation
from cogmagic.training.samples import Sample, samples_of
from cogmagic.training.trackers import log_videos

if TYPE_CHECKING:
    import numpy as np
    import torch

__all__ = ["Validation"]


class Validation:
    """One validation of a training run; made by `validation`."""

    def __init__(
        self,
        adopted: BorrowedPipeline,
        accelerator: Any,
        engine: TrainingRun,
        model: Model,
        configs: Path,
        folder: Path,
        tier: str | None,
        dtype: Dtype,
        timeout: float,
        on_progress: OnProgress,
    ) -> None:
        self._adopted, self._accelerator, self._engine = adopted, accelerator, engine
        self._model, self._configs, self._folder = model, configs, folder
        self._tier, self._dtype, self._timeout = tier, dtype, timeout
        self._on_progress = on_progress
        self._met = self._closed = False
        self._unwritten: list[Exception] = []

    def plan(self, requests: Sequence[str | Mapping[str, Any]]) -> ValidationPlan:
        """What making these would do to memory; nothing moves."""
        return self._plan(self._samples(requests))

    def generate(
        self, requests: Sequence[str | Mapping[str, Any]], *, step: int = 0, overwrite: bool = True
    ) -> list[Video]:
        """Make and write a video of each request; all of them, in every process.

        Args:
            requests: prompts, or options as `cogmagic.generate` takes them, among them ``prompt``;
                ``prompt_embeds`` [1, tokens, width] and ``negative_prompt_embeds`` save the text
                encoder. The seed of each is its place among them unless it is given, so that
                validations are comparable.
            step: goes into the names, ``step-000100-0.mp4``, and to the trackers.
            overwrite: whether files of an earlier run of the same step may be replaced.

        Raises:
            RequestError: for a request that the model cannot fulfil, before anything moves.
            TrainingError: when it does not fit, or not every process has come.
        """
        try:
            samples = self._samples(requests)
            plan = self._plan(samples).check()
            names = self._names(len(samples), step, overwrite=overwrite)
        except Exception as error:
            with suppress(TrainingError):  # what is wrong here comes first
                meet(self._engine, self._timeout, refused=str(error) or type(error).__name__)
            raise
        meet(self._engine, self._timeout, about=_digest(samples, step))
        self._met = True
        videos = self._shared(samples, plan, names)
        if self._accelerator.is_main_process:
            try:
                log_videos(self._accelerator.trackers, videos, step)
            except Exception as error:  # the videos are there, and the training goes on
                warnings.warn(f"A tracker did not take the videos: {error}", stacklevel=2)
        return videos

    def _samples(self, requests: object) -> list[Sample]:
        if self._closed:
            raise TrainingError("This validation has ended: make videos inside the with block.")
        return samples_of(requests, self._model, self._adopted)

    def _names(self, count: int, step: int, *, overwrite: bool) -> list[Path]:
        """The files to be written, in a folder that is there."""
        if not isinstance(step, int):
            raise RequestError(f"step={step!r:.40} is not a whole number.")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"{self._folder} cannot be made ({error.strerror}). Give another folder=."
            ) from None
        paths = [self._folder / f"step-{step:06d}-{i}.mp4" for i in range(count)]
        if not overwrite and (there := [path for path in paths if path.exists()]):
            raise OutputError(
                f"{there[0]} is there already. Give another step=, or overwrite=True."
            )
        return paths

    def _shared(
        self, samples: Sequence[Sample], plan: ValidationPlan, paths: Sequence[Path]
    ) -> list[Video]:
        """All videos, those of this process and of the others; or the failure of any."""
        engine, made = self._engine, dict[int, Video]()
        try:
            self._make_mine(samples, plan, paths, made)
            if self._unwritten:
                raise self._unwritten.pop()
        except BaseException as error:
            failure = f"{type(error).__name__}: {error}"
            tell(engine, (failure, {}))
            drop_tracebacks(error)
            # What goes on alone would wait for the others in the training. Under ZeRO-3 they may
            # wait for this process.
            if isinstance(error, Exception) and not (engine.gathers and len(made) < len(samples)):
                listen(engine)
            raise
        tell(engine, ("", {i: _plain(video) for i, video in made.items()}))
        told = listen(engine)
        if others := [f"process {rank} ({said})" for rank, (said, _) in enumerate(told) if said]:
            raise TrainingError(f"The validation failed in {', '.join(others)}.")
        for _, theirs in told:
            made |= theirs
        return [made[i] for i in sorted(made)]

    def _make_mine(
        self,
        samples: Sequence[Sample],
        plan: ValidationPlan,
        paths: Sequence[Path],
        made: dict[int, Video],
    ) -> None:
        import torch

        with torch.no_grad():
            embeds = self._encode(samples, plan)
            with self._adopted.making():
                for i in self._engine.mine(len(samples)):
                    made[i] = self._make(samples[i].request, embeds[i], plan, paths[i])

    def let_go(self) -> None:
        """Give back what a forward pass has left, if all processes have made one.

        In one process alone it would gather more at the next step than the others.
        """
        self._closed = True
        if self._met:
            release_gathered(self._accelerator)

    def _plan(self, samples: Sequence[Sample]) -> ValidationPlan:
        adopted, device = self._adopted, self._engine.device
        most = max(samples, key=lambda s: s.request.width * s.request.height * s.request.num_frames)
        gpus = Machine.detect().gpus if device.type == "cuda" else ()
        gpu = next((g for g in gpus if g.index == (device.index or 0)), None)
        foot = footprint(most.request, self._dtype, self._configs) if gpu else None
        return plan_validation(
            most.request,
            foot,
            adopted.moved(),
            dtype=self._dtype,
            where=f"{gpu.name} ({device})" if gpu else str(device),
            free=gpu.available if gpu else None,
            text=any(s.embeds is None and adopted.embeds(s.request) is None for s in samples),
            zero_stage=self._engine.zero_stage,
            tier=self._tier,
        )

    def _encode(
        self, samples: Sequence[Sample], plan: ValidationPlan
    ) -> list[tuple[torch.Tensor, ...]]:
        found = [s.embeds or self._adopted.embeds(s.request) for s in samples]
        if None in found:
            with self._adopted.encoding(layerwise=plan.tier == "sequential"):
                found = [
                    e or self._adopted.encode(s.request)
                    for e, s in zip(found, samples, strict=True)
                ]
        return [tuple(t.to(self._adopted.dtype) for t in e) for e in found if e is not None]

    def _make(
        self,
        request: Request,
        embeds: tuple[torch.Tensor, ...],
        plan: ValidationPlan,
        path: Path,
    ) -> Video:
        writes = not self._engine.gathers or self._accelerator.is_main_process
        target = OutputFile.claim(path, request.seed, overwrite=True) if writes else None
        clock, measured = Clock(self._on_progress), Peaks(Machine.detect())
        clock.at_end = measured.close
        try:
            frames = generate_frames(self._adopted.pipe, request, clock, embeddings=embeds)
            clock.phase("save")
            report = self._report(plan, clock, measured, frames)
            video = Video(
                path=target.path if target else path.resolve(), prompt=request.prompt,
                model=request.model.name, width=request.width, height=request.height,
                num_frames=len(frames), fps=request.fps, seed=request.seed, report=report,
            )  # fmt: skip
            if target:
                self._write(target, request, video, frames)
            clock.end()
        finally:
            if target:
                target.drop()
        return video

    def _write(
        self, target: OutputFile, request: Request, video: Video, frames: np.ndarray[Any, Any]
    ) -> None:
        try:
            write_mp4(target.part, frames, video.fps, metadata(request, video.report))
            target.commit()
        except Exception as error:
            if not self._engine.gathers:
                raise
            self._unwritten.append(error)  # the others need this process for the next sample

    def _report(
        self, plan: ValidationPlan, clock: Clock, measured: Peaks, frames: np.ndarray[Any, Any]
    ) -> Report:
        return Report(
            tier=plan.tier,
            reason=plan.reason,
            device=plan.where,
            dtype=plan.dtype,
            peak_allocated=measured.allocated,
            peak_reserved=measured.reserved,
            peak_phases=dict(measured.phases),
            peak_ram=measured.ram,
            step_seconds=clock.step_seconds("denoise"),
            seconds=clock.seconds,
            frames_sha256=hashlib.sha256(frames.tobytes()).hexdigest(),
            versions={"cogmagic": __version__},
        )


def _digest(samples: Sequence[Sample], step: int) -> str:
    """The same in processes that were given the same."""
    wishes = [(r.prompt, r.size, r.num_frames, r.seed) for r in (s.request for s in samples)]
    return hashlib.sha256(repr((step, wishes)).encode()).hexdigest()


def _plain(video: Video) -> Video:
    """With mappings that can be pickled."""
    return replace(video, report=replace(video.report, seconds=dict(video.report.seconds)))
