"""One run of a plan: place the pipeline, make the frames, take it off again, say what it took."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from cogmagic._footprint.savings import Savings
from cogmagic._machine.machine import Machine
from cogmagic._machine.memory import Peaks, allocator_limited
from cogmagic._models.request import Request
from cogmagic._pipeline.cancel import checked_between_blocks
from cogmagic._pipeline.compile import compiled
from cogmagic._pipeline.generate import generate_frames
from cogmagic._pipeline.guidance import guidance_halves
from cogmagic._pipeline.lean_decode import lean_decoding
from cogmagic._planning.plan import Plan
from cogmagic._planning.precision import picture_risk
from cogmagic._progress import Clock
from cogmagic._session.loaded import Loaded
from cogmagic._session.prepare import Prepared
from cogmagic._tiers.place import placed
from cogmagic._tiers.staged import Source
from cogmagic._version import __version__
from cogmagic._video.report import Report

if TYPE_CHECKING:
    import numpy as np
    import torch

__all__ = ["Place", "compiling", "run", "saving"]


Place = Callable[[], AbstractContextManager[None]]
"""Places a pipeline for as long as the context lasts."""


_VERSIONS = ("torch", "diffusers", "transformers", "accelerate")


def run(
    job: Prepared,
    machine: Machine,
    chosen: Plan,
    loaded: Loaded,
    clock: Clock,
    place: Callable[[Place], AbstractContextManager[None]],
) -> tuple[np.ndarray[Any, Any], Report]:
    """The frames (uint8 RGB, frames × height × width × 3) and what they took.

    Args:
        job: what to make.
        machine: where.
        chosen: how.
        loaded: the pipeline.
        clock: is told of phases and steps, and may stop the run.
        place: is given what places the pipeline, and has it placed while its context lasts.
    """
    import torch

    request, placing = job.request, job.placing
    gpu = machine.roomiest
    device = torch.device(machine.device, gpu.index) if gpu else torch.device(machine.device)
    needs = chosen.chosen.needs if chosen.chosen else None

    @contextmanager
    def anew() -> Iterator[None]:
        streams, host = chosen.tier == "stream", None
        if streams or (needs and needs.copies):
            host = loaded.to_host(clock, device, required=streams)
        with placed(
            loaded.pipe,
            chosen.tier,
            device,
            resident=needs.resident_blocks if needs else 0,
            locked=host.locked if host else (),
            text=chosen.text,
            source=Source(job.folder, chosen.dtype, chosen.savings.fp8, loaded.files),
            check=clock.check,
        ):
            yield

    # What was there when it was planned and is there still; weights that stay placed are not in it.
    held = {
        g.index: min(g.allocated, torch.cuda.memory_allocated(g.index))
        for g in machine.gpus
        if g.allocated
    }
    measured = Peaks(machine)
    clock.at_end = measured.close
    with (
        allocator_limited(machine, placing.vram_limit),
        compiling(loaded.pipe, request, clock) if placing.compile else nullcontext(),
        place(anew),
        saving(loaded.pipe, chosen.savings),
        checked_between_blocks(loaded.pipe, device, clock.check),
        torch.no_grad(),
    ):
        frames = generate_frames(
            loaded.pipe,
            request,
            clock,
            embeddings=job.kept,
            on_encoded=job.texts.write,
            on_preview=job.show,
        )
        clock.end()
    refusal = loaded.host.refused if loaded.host else ""
    refused = f"{refusal}: copying them takes longer" if refusal else ""
    said = (chosen.reason, refused, picture_risk(request, chosen.dtype))
    return frames, Report(
        tier=chosen.tier,
        reason="; ".join(filter(None, said)),
        options=placing.options,
        device=_where(machine, device, loaded.pipe.hf_device_map or {}),
        dtype=chosen.dtype,
        device_map=dict(loaded.pipe.hf_device_map or {}),
        peak_allocated=measured.allocated,
        held_before=held,
        peak_reserved=measured.reserved,
        peak_phases=dict(measured.phases),
        peak_ram=measured.ram,
        step_seconds=clock.step_seconds("denoise"),
        seconds=clock.seconds,  # the clock adds "save" when that is over
        predicted={
            "peak_allocated": chosen.peak_allocated,
            "peak_ram": chosen.peak_ram,
            "step_seconds": chosen.step_seconds,
            "seconds": chosen.seconds,
        },
        frames_sha256=hashlib.sha256(frames.tobytes()).hexdigest(),
        revision=job.folder.name if job.folder.parent.name == "snapshots" else None,
        versions={"cogmagic": __version__} | {name: version(name) for name in _VERSIONS},
    )


def _where(machine: Machine, device: torch.device, spread: Mapping[str, int]) -> str:
    """The GPUs that the pipeline is on, or the device."""
    wanted = set(spread.values()) or {device.index}
    gpus = [g for g in machine.gpus if g.index in wanted]
    return " + ".join(f"{g.name} ({device.type}:{g.index})" for g in gpus) or machine.device


@contextmanager
def compiling(pipe: Any, request: Request, clock: Clock) -> Iterator[None]:
    """The transformer's blocks compiled; the clock shows when code is made."""

    def first(begins: bool) -> None:
        if begins:
            clock.phase("compile")
        else:
            clock.phase("denoise", request.num_inference_steps)

    with compiled(pipe.transformer, first):
        yield


@contextmanager
def saving(pipe: Any, savings: Savings) -> Iterator[None]:
    """The savings that are made while running; `pipe` is placed already."""
    with ExitStack() as stack:
        if savings.lean_decode:
            stack.enter_context(lean_decoding(pipe.vae))
        if savings.guidance_halves:
            stack.enter_context(guidance_halves(pipe.transformer))
        yield
