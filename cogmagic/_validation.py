"""The videos of one validation: checked, planned, made by whichever process, told to all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogmagic._adopted import Adopted
from cogmagic._catalog import Dtype, Model
from cogmagic._engine import (
    Engine,
    let_go_of_gathered,
    meet,
)
from cogmagic._errors import CogMagicError, RequestError, TrainingError
from cogmagic._footprint import footprint
from cogmagic._generation import generate_frames
from cogmagic._machine import Machine
from cogmagic._memory import Peaks
from cogmagic._mp4 import write_mp4
from cogmagic._progress import Clock, OnProgress
from cogmagic._report import Report, metadata
from cogmagic._request import Request
from cogmagic._target import Target
from cogmagic._text import ignored_words
from cogmagic._trackers import log_videos
from cogmagic._validation_plan import ValidationPlan, plan_validation
from cogmagic._version import __version__
from cogmagic._video import Video

if TYPE_CHECKING:
    import numpy as np
    import torch

__all__ = ["Validation"]

_EMBEDS = ("prompt_embeds", "negative_prompt_embeds")


@dataclass(frozen=True)
class _Sample:
    request: Request
    embeds: tuple[torch.Tensor, ...] | None
    """Given by the caller."""


class Validation:
    """One validation of a training run; made by `validation`."""

    def __init__(
        self,
        adopted: Adopted,
        accelerator: Any,
        engine: Engine,
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
        self._met = False

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
        import torch

        try:
            samples = self._samples(requests)
            plan = self._plan(samples).check()
        except CogMagicError as error:
            with suppress(TrainingError):  # what is wrong here comes first
                meet(self._engine, self._timeout, refused=str(error))
            raise
        meet(self._engine, self._timeout)
        self._met = True
        self._folder.mkdir(parents=True, exist_ok=True)
        made: dict[int, Video] = {}
        failure: Exception | None = None
        try:
            with torch.no_grad():
                embeds = self._encode(samples, plan)
                with self._adopted.making():
                    for i in self._engine.mine(len(samples)):
                        name = f"step-{step:06d}-{i}.mp4"
                        request = samples[i].request
                        made[i] = self._make(request, embeds[i], plan, name, overwrite=overwrite)
        except Exception as error:
            failure = error
        videos = self._gathered(made, failure)
        if self._accelerator.is_main_process:
            log_videos(self._accelerator.trackers, videos, step)
        return videos

    def let_go(self) -> None:
        """Give back what a forward pass has left, if all processes have made one.

        In one process alone it would gather more at the next step than the others.
        """
        if self._met:
            let_go_of_gathered(self._accelerator)

    def _samples(self, requests: Sequence[str | Mapping[str, Any]]) -> list[_Sample]:
        if isinstance(requests, str | Mapping):
            raise RequestError("Give a list of requests, also of one: v.generate([...]).")
        if not requests:
            raise RequestError("There is no request: v.generate needs one at least.")
        return [self._sample(i, r) for i, r in enumerate(requests)]

    def _sample(self, index: int, wish: str | Mapping[str, Any]) -> _Sample:
        from cogmagic._planning import known_options

        options: dict[str, Any] = {"prompt": wish} if isinstance(wish, str) else dict(wish)
        given: list[Any] = [options.pop(name, None) for name in _EMBEDS]
        prompt = options.pop("prompt", "given as embeddings" if given[0] is not None else "")
        options.setdefault("seed", index)
        request = Request.of(prompt, self._model, **known_options(options))
        guided = request.guidance_scale > 1.0
        if given[0] is not None and guided and given[1] is None:
            raise RequestError(
                "prompt_embeds without negative_prompt_embeds: give both, or guidance_scale=1."
            )
        if given[0] is not None:
            return _Sample(request, tuple(given[: 2 if guided else 1]))
        if self._adopted.text_encoder is None:
            raise RequestError("The pipeline has no text encoder: give prompt_embeds.")
        self._check_prompts(request)
        return _Sample(request, None)

    def _check_prompts(self, request: Request) -> None:
        limit = request.model.max_tokens
        for text in (request.prompt, request.negative_prompt):
            count, ignored = ignored_words(self._adopted.pipe.tokenizer, text, limit)
            if ignored and not request.truncate:
                raise RequestError(
                    f"A prompt has {count} tokens, but the model reads {limit}: it would ignore"
                    f" {ignored[:120]!r}. Shorten it, or give truncate=True."
                )

    def _plan(self, samples: Sequence[_Sample]) -> ValidationPlan:
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
        self, samples: Sequence[_Sample], plan: ValidationPlan
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
        name: str,
        *,
        overwrite: bool,
    ) -> Video:
        writes = not self._engine.gathers or self._accelerator.is_main_process
        path = self._folder / name
        target = Target.claim(path, request.seed, overwrite=overwrite) if writes else None
        clock, measured = Clock(self._on_progress), Peaks(Machine.detect())
        clock.at_end = measured.close
        try:
            frames = generate_frames(self._adopted.pipe, request, clock, _NO_TEXTS, embeds)
            clock.phase("save")
            report = self._report(plan, clock, measured, frames)
            video = Video(
                path=target.path if target else path.resolve(), prompt=request.prompt,
                model=request.model.name, width=request.width, height=request.height,
                num_frames=len(frames), fps=request.fps, seed=request.seed, report=report,
            )  # fmt: skip
            if target:
                write_mp4(target.part, frames, video.fps, metadata(request, report))
                target.commit()
            clock.end()
        finally:
            if target:
                target.drop()
        return video

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
            step_seconds=clock.step_seconds("denoise"),
            seconds=clock.seconds,
            frames_sha256=hashlib.sha256(frames.tobytes()).hexdigest(),
            versions={"cogmagic": __version__},
        )

    def _gathered(self, made: dict[int, Video], failure: Exception | None) -> list[Video]:
        """All videos in their order, from whatever process made them; or the failure of any."""
        if self._engine.processes > 1 and not self._engine.gathers:
            from accelerate.utils import gather_object

            plain = {i: _plain(video) for i, video in made.items()}
            said = f"{type(failure).__name__}: {failure}" if failure else ""
            told = gather_object([(self._engine.rank, said, plain)])
            made = {i: video for *_, videos in told for i, video in videos.items()}
            others = [f"process {rank} ({words})" for rank, words, _ in told if words]
            if others and failure is None:
                raise TrainingError(f"The validation failed in {', '.join(others)}.")
        if failure is not None:
            raise failure
        return [made[i] for i in sorted(made)]


class _NoTexts:
    """Embeddings are made before, and kept by whoever made them."""

    def write(self, embeds: Any) -> None:
        """Keep nothing."""


_NO_TEXTS: Any = _NoTexts()


def _plain(video: Video) -> Video:
    """With mappings that can be pickled."""
    return replace(video, report=replace(video.report, seconds=dict(video.report.seconds)))
