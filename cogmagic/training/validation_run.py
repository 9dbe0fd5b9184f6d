"""The videos of one validation: checked, planned, made by the processes, shared with all."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogmagic._errors import NonFiniteError, OutputError, RequestError, TrainingError
from cogmagic._footprint.footprint import footprint
from cogmagic._machine.failures import drop_tracebacks
from cogmagic._machine.machine import Machine
from cogmagic._models.model import Model
from cogmagic._spelling import errors_for_python
from cogmagic._video.video import Video
from cogmagic.training.borrowed import BorrowedPipeline
from cogmagic.training.make_video import VideoMaker
from cogmagic.training.plan import ValidationPlan, plan_validation
from cogmagic.training.prompts import PromptEncoder
from cogmagic.training.rendezvous import collect, publish, rendezvous
from cogmagic.training.samples import ValidationSample, samples_of
from cogmagic.training.trackers import log_videos
from cogmagic.training.training_run import release_gathered

if TYPE_CHECKING:
    import torch

__all__ = ["Validation"]


class Validation:
    """One validation of a training run; made by `validation`."""

    def __init__(
        self,
        borrowed: BorrowedPipeline,
        maker: VideoMaker,
        accelerator: Any,
        model: Model,
        configs: Path,
        folder: Path,
        tier: str | None,
        timeout: float,
    ) -> None:
        self._borrowed, self._maker, self._accelerator = borrowed, maker, accelerator
        self._run = borrowed.run
        self._model, self._configs, self._folder = model, configs, folder
        self._tier, self._timeout = tier, timeout
        self._prompts = PromptEncoder(borrowed.pipe, borrowed.device, borrowed.dtype)
        self._started = self._closed = False

    @errors_for_python()
    def plan(self, requests: Sequence[str | Mapping[str, Any]]) -> ValidationPlan:
        """The memory that making these videos would need; nothing moves."""
        return self._plan(self._samples(requests))

    @errors_for_python()
    def generate(
        self, requests: Sequence[str | Mapping[str, Any]], *, step: int = 0, overwrite: bool = True
    ) -> list[Video]:
        """Make and write a video of each request; every process gets all of them.

        A sample in which NaN or infinity is computed has no video: a `UserWarning` names it, and
        the other samples and the training go on.

        Args:
            requests: prompts, or options as `cogmagic.generate` takes them, among them ``prompt``;
                with ``prompt_embeds`` [1, tokens, width] and ``negative_prompt_embeds`` the text
                encoder is not needed. The seed of each is its place in the list unless it is given,
                so that validations can be compared.
            step: goes into the names, ``step-000100-0.mp4``, and to the trackers.
            overwrite: whether files of an earlier run of the same step may be replaced.

        Raises:
            RequestError: for a request that the model cannot fulfil, before anything moves.
            TrainingError: when it does not fit, or a process is missing or has failed.
        """
        try:
            samples = self._samples(requests)
            plan = self._plan(samples).check()
            paths = self._paths(len(samples), step, overwrite=overwrite)
        except Exception as error:
            with suppress(TrainingError):  # this process's own error is the one to raise
                refusal = str(error) or type(error).__name__
                rendezvous(self._run, self._timeout, refusal=refusal)
            raise
        rendezvous(self._run, self._timeout, about=_digest(samples, step))
        self._started = True
        videos = self._make_all(samples, plan, paths)
        if self._accelerator.is_main_process and videos:
            try:
                log_videos(self._accelerator.trackers, videos, step)
            except Exception as error:  # the videos are written, and the training goes on
                warnings.warn(f"A tracker did not accept the videos: {error}", stacklevel=2)
        return list(videos.values())

    def close(self) -> None:
        """End the validation; release what a forward pass has left, if all processes have made one.

        In one process alone, the next step would gather more than in the others.
        """
        self._closed = True
        if self._started:
            release_gathered(self._accelerator)

    def _samples(self, requests: object) -> list[ValidationSample]:
        if self._closed:
            raise TrainingError("This validation has ended: make videos inside the with block.")
        return samples_of(requests, self._model, self._borrowed)

    def _paths(self, count: int, step: int, *, overwrite: bool) -> list[Path]:
        """The files to write; their folder is created."""
        if not isinstance(step, int):
            raise RequestError(f"step={step!r:.40} is not a whole number.")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"{self._folder} cannot be made ({error.strerror}). Pass another folder=."
            ) from None
        paths = [self._folder / f"step-{step:06d}-{i}.mp4" for i in range(count)]
        if not overwrite and (existing := [path for path in paths if path.exists()]):
            raise OutputError(
                f"{existing[0]} already exists. Pass another step=, or overwrite=True."
            )
        return paths

    def _plan(self, samples: Sequence[ValidationSample]) -> ValidationPlan:
        device, dtype = self._run.device, self._borrowed.dtype_name
        requests = [sample.request for sample in samples]
        largest = max(requests, key=lambda r: r.width * r.height * r.num_frames)
        gpus = Machine.detect().gpus if device.type == "cuda" else ()
        gpu = next((g for g in gpus if g.index == (device.index or 0)), None)
        return plan_validation(
            largest,
            footprint(largest, dtype, self._configs) if gpu else None,
            self._borrowed.bytes_to_move(),
            dtype=dtype,
            where=f"{gpu.name} ({device})" if gpu else str(device),
            free=gpu.available if gpu else None,
            text=any(self._embeds(sample) is None for sample in samples),
            zero_stage=self._run.zero_stage,
            tier=self._tier,
        )

    def _embeds(self, sample: ValidationSample) -> tuple[torch.Tensor, ...] | None:
        """The sample's prompt embeddings from the caller or the cache, or None."""
        return sample.embeds or self._prompts.cached(sample.request)

    def _make_all(
        self, samples: Sequence[ValidationSample], plan: ValidationPlan, paths: Sequence[Path]
    ) -> dict[int, Video]:
        """The videos of all processes by the index of their request, or the failure of any."""
        run, made = self._run, dict[int, Video]()
        try:
            self._make_mine(samples, plan, paths, made)
            if self._maker.write_errors:
                raise self._maker.write_errors.pop()
        except BaseException as error:
            publish(run, (f"{type(error).__name__}: {error}", {}))
            drop_tracebacks(error)
            # Returning at once, this process would wait for the others inside the training. Under
            # ZeRO-3 they may be waiting for this process.
            if isinstance(error, Exception) and not (run.gathers and len(made) < len(samples)):
                collect(run)
            raise
        publish(run, ("", {i: _picklable(video) for i, video in made.items()}))
        outcomes = collect(run)
        failures = [f"process {rank} ({why})" for rank, (why, _) in enumerate(outcomes) if why]
        if failures:
            raise TrainingError(f"The validation failed in {', '.join(failures)}.")
        for _, theirs in outcomes:
            made |= theirs
        return dict(sorted(made.items()))

    def _make_mine(
        self,
        samples: Sequence[ValidationSample],
        plan: ValidationPlan,
        paths: Sequence[Path],
        made: dict[int, Video],
    ) -> None:
        """Make this process's share of the videos; `made` gets each as soon as it is written."""
        import torch

        with torch.no_grad():
            embeds = self._encode(samples, plan)
            with self._borrowed.generating():
                for i in self._run.share(len(samples)):
                    try:
                        made[i] = self._maker.make(samples[i].request, embeds[i], plan, paths[i])
                    except NonFiniteError as error:  # the other samples and the training go on
                        # The file's name has the step: Python shows equal warnings only once.
                        which = f"{paths[i].name} ({samples[i].request.prompt:.40})"
                        warnings.warn(f"{which}: {error}", stacklevel=5)

    def _encode(
        self, samples: Sequence[ValidationSample], plan: ValidationPlan
    ) -> list[tuple[torch.Tensor, ...]]:
        """The embeddings of all samples; the text encoder moves only if one is missing."""
        embeds = [self._embeds(sample) for sample in samples]
        if None in embeds:
            with self._borrowed.encoding(layerwise=plan.tier == "sequential"):
                embeds = [
                    known or self._prompts.encode(sample.request)
                    for known, sample in zip(embeds, samples, strict=True)
                ]
        return [tuple(t.to(self._borrowed.dtype) for t in e) for e in embeds if e is not None]


def _digest(samples: Sequence[ValidationSample], step: int) -> str:
    """A digest that is the same in processes with the same requests."""
    about = [(r.prompt, r.size, r.num_frames, r.seed) for r in (s.request for s in samples)]
    return hashlib.sha256(repr((step, about)).encode()).hexdigest()


def _picklable(video: Video) -> Video:
    """The video with a copy of the mappings, which the clock goes on changing."""
    return replace(video, report=replace(video.report, seconds=dict(video.report.seconds)))
