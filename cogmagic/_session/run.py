"""One run of a plan: place the pipeline, make the frames, take it off the GPU, report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from cogmagic._machine.allocator import Peaks, allocator_limited, tensors_before
from cogmagic._machine.machine import Machine
from cogmagic._models.adapters.described import described
from cogmagic._models.chunks import chunk_count
from cogmagic._models.fitting_remarks import cut_text, mask_text
from cogmagic._pipeline.adapters import active
from cogmagic._pipeline.attention.processor import attending
from cogmagic._pipeline.chunks import FinishedChunks
from cogmagic._pipeline.compile import compiled, compiling
from cogmagic._pipeline.decoding.fast import fast_decoding
from cogmagic._pipeline.decoding.lean import lean_decoding
from cogmagic._pipeline.encode import encode_texts
from cogmagic._pipeline.finite import FiniteCheck
from cogmagic._pipeline.generate import generate_frames
from cogmagic._pipeline.guidance import guidance_halves, step_work
from cogmagic._pipeline.measure import with_measurements
from cogmagic._pipeline.parallel.group import Rank
from cogmagic._pipeline.step_cache import ReusedSteps, caching_steps
from cogmagic._pipeline.stop_checks import checked_between_blocks
from cogmagic._pipeline.windows import window_count
from cogmagic._planning.compile_time import code_keys
from cogmagic._planning.dtype import advice_if_not_finite
from cogmagic._planning.plan import Plan
from cogmagic._progress import Clock
from cogmagic._session.hot import Hot
from cogmagic._session.kernels import kernel_version
from cogmagic._session.loaded import Loaded
from cogmagic._session.pipeline_slot import placement_key
from cogmagic._session.prepare import Job
from cogmagic._tiers.base import Placement, Source
from cogmagic._tiers.place import placed
from cogmagic._version import __version__
from cogmagic._video.report import Report

if TYPE_CHECKING:
    import numpy as np
    import torch

__all__ = ["Run"]

_VERSIONS = ("torch", "diffusers", "transformers", "accelerate")


@dataclass(frozen=True)
class Run:
    """One run of a plan on a loaded pipeline."""

    job: Job
    machine: Machine
    plan: Plan
    loaded: Loaded
    clock: Clock
    """Receives phases and steps, and may stop the run."""
    rank: Rank | None = None
    """This process, where several make the video together."""

    def frames(
        self, hot: Hot, finished: FinishedChunks | None = None
    ) -> tuple[np.ndarray[Any, Any], Report]:
        """The frames (uint8 RGB, frames × height × width × 3) and the report.

        Ranks other than the first return no frames.

        Args:
            hot: the pipeline's placement between runs: used if it is what the plan needs, else
                replaced.
            finished: see `generate_frames`.
        """
        job, clock, pipe = self.job, self.clock, self.loaded.pipe
        held, measured, reused = tensors_before(self.machine), Peaks(self.machine), self._reused()
        caching = partial(caching_steps, pipe.transformer, reused) if reused else nullcontext
        clock.at_end = measured.close
        clock.step_work = step_work(job.request, self.plan.split.guidance > 1)
        with self._ready(hot):
            frames = generate_frames(
                pipe,
                job.request,
                clock,
                self._finite,
                embeddings=job.embeddings,
                on_encoded=job.texts.write,
                on_preview=job.show,
                denoising=caching,
                rank=self.rank,
                clip=job.clip,
                mask=job.mask,
                finished=finished,
            )
            clock.end()
        report = with_measurements(self._report(held), job.request, clock, measured, frames)
        if reused:
            steps = len(clock.step_ends.get("denoise", ()))
            report = replace(report, reused_steps=(reused.steps, steps))
        return frames, report

    def _reused(self) -> ReusedSteps | None:
        """The run's step cache, with no step reused yet; None without one."""
        plan, request = self.plan, self.job.request
        if not plan.speedups.cache:
            return None
        passes = 2 if plan.savings.guidance_halves and request.guided else 1
        guided, windows = request.guided_steps, window_count(request)
        return ReusedSteps.of(plan.speedups.cache, passes, self.rank, guided, windows)

    def encode(
        self, texts: Sequence[str], receive: Callable[[str, torch.Tensor], None], hot: Hot
    ) -> None:
        """Encode the texts of a batch's rows: see `encode_texts`."""
        with self._ready(hot):
            tokens = self.job.request.model.max_tokens
            encode_texts(self.loaded.pipe, texts, tokens, self.clock, receive)
            self.clock.end()

    @contextmanager
    def _ready(self, hot: Hot) -> Iterator[None]:
        """The pipeline placed as the plan needs it, within the memory that it may take."""
        import torch

        from cogmagic._pipeline.metal_limits import limits_of

        job, pipe = self.job, self.loaded.pipe
        stay = job.stay or (self.plan.options.keep == "hot" and self.plan.placement.on_gpu)
        key = placement_key(job.folder, self.plan, self.machine)
        with (
            allocator_limited(self.machine, job.options.vram_limit),
            limits_of(self.machine.device),
            self._compiling() if self.plan.speedups.compile else nullcontext(),
            hot.placed(key, pipe, self._placed, stay=stay),
            self._saving(),
            checked_between_blocks(pipe, self._device, self.clock.check),
            torch.no_grad(),
        ):
            yield

    @property
    def _finite(self) -> FiniteCheck:
        dtype, options = self.plan.dtype, self.plan.options
        return FiniteCheck(advice_if_not_finite(self.job.request, dtype, self.machine, options))

    @property
    def _device(self) -> torch.device:
        import torch

        gpu, kind = self.machine.roomiest, self.machine.device
        return torch.device(kind, gpu.index) if gpu else torch.device(kind)

    @contextmanager
    def _placed(self) -> Iterator[None]:
        """The pipeline placed in the plan's tier."""
        plan, loaded, pinned = self.plan, self.loaded, None
        loaded.unpinned = ""
        needs = plan.chosen.needs if plan.chosen else None
        if plan.placement.requires_copies or (needs and needs.copies):
            required = plan.placement.requires_copies
            pinned = loaded.pin(self.clock, self._device, required=required)
        loaded.adapt(self.job.request.loras, self._device if pinned else None)
        savings, folder, loras = plan.savings, self.job.folder, self.job.request.loras
        placement = Placement(
            self._device,
            plan.variant,
            pinned=pinned.locked if pinned else (),
            encodes=not plan.available.prompts_cached and (self.rank is None or self.rank.first),
            source=Source(folder, plan.dtype, savings.storage, loaded.files, loras, savings.text),
            check=self.clock.check,
        )
        transformer = loaded.pipe.transformer
        with (
            compiled(transformer) if plan.speedups.compile else nullcontext(),
            placed(loaded.pipe, plan.placement, placement),
        ):
            yield

    def _compiling(self) -> AbstractContextManager[None]:
        """The run of compiled blocks; the clock shows when code is generated."""
        clock, request, plan = self.clock, self.job.request, self.plan
        steps = request.denoising_steps * chunk_count(request)

        def on_compile(begins: bool) -> None:
            if begins:
                clock.phase("compile")
            else:
                clock.phase("denoise", steps)

        keys = code_keys(request, plan.dtype, plan.resolved, plan.split)
        return compiling(on_compile, *keys, inputs_read=plan.speedups.cache is not None)

    @contextmanager
    def _saving(self) -> Iterator[None]:
        """The savings and speedups that change the placed pipeline."""
        pipe, savings = self.loaded.pipe, self.plan.savings
        with ExitStack() as stack:
            if self.plan.speedups.decode:
                lean = savings.lean_decode
                stack.enter_context(fast_decoding(pipe.vae, device=self._device, lean=lean))
            elif savings.lean_decode:
                stack.enter_context(lean_decoding(pipe.vae))
            if savings.guidance_halves:
                stack.enter_context(guidance_halves(pipe.transformer))
            stack.enter_context(attending(pipe.transformer, self.plan.speedups.attention))
            yield

    def _report(self, held: Mapping[int, int]) -> Report:
        """The report without the measured facts."""
        request, plan = self.job.request, self.plan
        folder, device_map = self.job.folder, self.loaded.pipe.hf_device_map or {}
        return Report(
            tier=plan.tier,
            reason="; ".join(filter(None, (plan.reason, self.loaded.unpinned, *plan.remarks))),
            warning=self.clock.warning,
            preset=request.preset,
            options=plan.options.names,
            speedups=plan.speedups.names,
            storage=plan.savings.weights.title if plan.savings.weights else "",
            fitted=cut_text(request),
            masked=mask_text(request),
            adapters=tuple(f"LoRA {described(a)}" for a in active(request.loras)),
            device=self.machine.device_names(set(device_map.values()) or {self._device.index}),
            dtype=plan.dtype,
            device_map=dict(device_map),
            held_before=held,
            predicted={
                "peak_allocated": plan.peak_allocated,
                "peak_ram": plan.peak_ram,
                "step_seconds": plan.step_seconds,
                "seconds": plan.seconds,
            },
            revision=folder.name if folder.parent.name == "snapshots" else None,
            versions={"cogmagic": __version__}
            | {name: version(name) for name in _VERSIONS}
            | kernel_version(plan.speedups.attention),
        )
