"""The one pipeline that a kernel holds, and its life: load → run → off the GPU → released."""

from __future__ import annotations

import gc
import hashlib
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from cogmagic._apply import placed
from cogmagic._checkpoint import local_folder
from cogmagic._checks import check_savings, check_tier, dtype_for
from cogmagic._compile import check_compiler
from cogmagic._errors import BusyError, TierError
from cogmagic._experience import learn, ready
from cogmagic._folder import check_folder
from cogmagic._generation import generate_frames
from cogmagic._host_memory import RESERVE
from cogmagic._interrupts import interrupts_deferred, interrupts_held
from cogmagic._loaded import Loaded
from cogmagic._machine import Machine, checked_by_torch
from cogmagic._memory import (
    Peaks,
    empty_cache,
    freeing_frames,
    is_device_shortage,
    limited,
)
from cogmagic._placing import Placing, compiling, saving
from cogmagic._plan import Plan
from cogmagic._planner import plan
from cogmagic._progress import Clock, OnProgress, silent
from cogmagic._ram import host_ram
from cogmagic._report import Report, gib, metadata
from cogmagic._request import Request
from cogmagic._staged import Source
from cogmagic._texts import Texts
from cogmagic._version import __version__
from cogmagic._video import Target, Video, check_encoder, write_mp4

if TYPE_CHECKING:
    import numpy as np
    import torch


__all__ = ["Loaded", "Placing", "Session", "session"]

_VERSIONS = ("torch", "diffusers", "transformers", "accelerate")


class Session:
    """Holds at most one pipeline and runs at most one request at a time."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._running: Request | None = None
        self.loaded: Loaded | None = None

    def generate(
        self,
        request: Request,
        *,
        placing: Placing | None = None,
        save: str | Path | None = None,
        overwrite: bool = False,
        on_progress: OnProgress = silent,
    ) -> Video:
        """Make the video. Whatever happens, the GPU holds none of the weights afterwards.

        Raises:
            CogMagicError: one line, with numbers and the way out.
            Cancelled: when interrupted.
        """
        if not self._lock.acquire(blocking=False):
            raise self._busy()
        try:
            self._running = request
            return freeing_frames(
                lambda: self._generate(request, placing or Placing(), save, overwrite, on_progress)
            )
        finally:
            self._running = None
            self._lock.release()

    def release(self) -> int:
        """Let go of the pipeline; the bytes of weights that host memory got back."""
        if not self._lock.acquire(blocking=False):
            raise self._busy()
        try:
            return self._drop()
        finally:
            self._lock.release()

    def _busy(self) -> BusyError:
        running = self._running.prompt if self._running else ""
        return BusyError(
            f"A generation is running in this kernel ({running[:40]!r}). Wait for it, or interrupt"
            " the kernel to stop it."
        )

    def _drop(self) -> int:
        freed = self.loaded.let_go() if self.loaded else 0
        self.loaded = None
        gc.collect()
        return freed

    def _generate(
        self,
        request: Request,
        placing: Placing,
        save: str | Path | None,
        overwrite: bool,
        on_progress: OnProgress,
    ) -> Video:
        clock = Clock(on_progress)
        target = Target.claim(save, request.seed, overwrite=overwrite)
        try:
            with interrupts_deferred():  # it imports av
                check_encoder()
            machine, chosen, folder, texts, kept = self._prepare(request, placing, clock)
            try:
                frames, report = self._run(
                    request, machine, chosen, folder, texts, kept, clock, placing
                )
            except Exception as error:
                if is_device_shortage(error) and placing.plain:
                    learn(machine, chosen, None, placing.vram_limit)
                raise
            if placing.plain:
                learn(machine, chosen, report, placing.vram_limit)
            clock.phase("save")
            write_mp4(target.part, frames, request.fps, metadata(request, report))
            target.commit()
            clock.end()
        finally:
            target.drop()
        return Video(
            path=target.path,
            prompt=request.prompt,
            model=request.model.name,
            width=request.width,
            height=request.height,
            num_frames=len(frames),
            fps=request.fps,
            seed=request.seed,
            report=report,
        )

    def _prepare(
        self, request: Request, placing: Placing, clock: Clock
    ) -> tuple[Machine, Plan, Path, Texts, tuple[torch.Tensor, ...] | None]:
        """Everything that can refuse the request, cheapest first, up to the checkpoint's files."""
        from cogmagic._pipeline import import_libraries
        from cogmagic._text import check_prompts

        seen = Machine.detect()  # a tier or dtype that cannot be: before torch comes in
        check_tier(placing.tier, seen)
        check_savings(placing.savings, placing.tier, seen)
        dtype_for(request, seen)
        folder = local_folder(request.model)
        import_libraries(request.model.task)
        if folder is None:
            from cogmagic._hub import download, fetch_tokenizer

            clock.phase("download", note=request.model.source)
            check_prompts(request, fetch_tokenizer(request.model))
            folder = download(request.model, clock.tell)
            check_folder(folder)
        else:
            check_prompts(request, folder)
        clock.phase("load", note=request.model.name)
        machine = ready(checked_by_torch(Machine.detect()))
        gpu = machine.roomiest
        device = gpu.name if gpu else machine.device
        texts = Texts(request, folder, dtype_for(request, machine), device)
        kept = texts.read()
        chosen = plan(
            request,
            machine,
            text=kept is None,
            tier=placing.tier,
            policy=placing.policy,
            vram_limit=placing.vram_limit,
            folder=folder,
            savings=placing.savings,
        )
        if not chosen.fits and placing.cautious:
            raise TierError(_nothing_fits(chosen))
        if placing.compile:
            check_compiler(machine.device, chosen.tier)
        return machine, chosen, folder, texts, kept

    def _run(
        self,
        request: Request,
        machine: Machine,
        chosen: Plan,
        folder: Path,
        texts: Texts,
        kept: tuple[torch.Tensor, ...] | None,
        clock: Clock,
        placing: Placing,
    ) -> tuple[np.ndarray[Any, Any], Report]:
        import torch

        gpu = machine.roomiest
        device = torch.device(machine.device, gpu.index) if gpu else torch.device(machine.device)
        loaded = self._load(request, chosen, folder, machine)
        resident = chosen.chosen.needs.resident_blocks if chosen.chosen else 0
        streams, host = chosen.tier == "stream", None
        try:
            if streams or (chosen.chosen and chosen.chosen.needs.copies):
                host = loaded.to_host(clock, device, required=streams)
            measured = Peaks(machine)
            clock.at_end = measured.close
            with (
                limited(machine, placing.vram_limit),
                compiling(loaded.pipe, request, clock) if placing.compile else nullcontext(),
                placed(
                    loaded.pipe,
                    chosen.tier,
                    device,
                    resident=resident,
                    locked=host.locked if host else (),
                    text=chosen.text,
                    source=Source(folder, chosen.dtype, chosen.savings.fp8, loaded.files),
                ),
                saving(loaded.pipe, chosen.savings),
                torch.no_grad(),
            ):
                frames = generate_frames(loaded.pipe, request, clock, texts, kept)
                clock.end()
            spread = dict(loaded.pipe.hf_device_map or {})
        finally:
            with interrupts_held():
                del loaded
                stays = self._keep(chosen, placing)
        refused = f"; {host.refused}: copying them takes longer" if host and host.refused else ""
        return frames, Report(
            tier=chosen.tier,
            reason=chosen.reason + refused,
            options=placing.options,
            device=f"{gpu.name} ({device})" if gpu else machine.device,
            dtype=chosen.dtype,
            device_map=spread,
            peak_allocated=measured.allocated,
            peak_reserved=measured.reserved,
            peak_phases=dict(measured.phases),
            step_seconds=clock.step_seconds("denoise"),
            seconds=clock.seconds,  # the clock adds "save" when that is over
            predicted={
                "peak_allocated": chosen.peak_allocated,
                "peak_ram": chosen.peak_ram,
                "step_seconds": chosen.step_seconds,
                "seconds": chosen.seconds,
            },
            frames_sha256=hashlib.sha256(frames.tobytes()).hexdigest(),
            revision=folder.name if folder.parent.name == "snapshots" else None,
            kept=stays,
            versions={"cogmagic": __version__} | {name: version(name) for name in _VERSIONS},
        )

    def _load(self, request: Request, chosen: Plan, folder: Path, machine: Machine) -> Loaded:
        """The pipeline that the request needs: the one that is here, or a new one in its place."""
        from cogmagic._pipeline import check_balanced

        if self.loaded and self.loaded.serves(chosen, folder):
            return self.loaded
        if chosen.tier == "balanced":
            check_balanced(folder, chosen.dtype, machine)  # may refuse: before what is here goes
        self._drop()
        self.loaded = Loaded.of(request.model, chosen, folder, machine)
        return self.loaded

    def _keep(self, chosen: Plan, placing: Placing) -> str:
        """Decide whether the weights stay in host memory for the next run; what was decided."""
        left = host_ram().available
        if chosen.tier == "balanced":
            why = "weights were on the GPUs only: not kept"
        elif placing.keep == "cold":
            why = "weights not kept, as asked"
        elif chosen.tier == "staged":
            return "weights went from the files to the GPU: not kept"
        elif left is not None and left < RESERVE:
            why = f"weights not kept: {gib(left)} of RAM left"
        else:
            return ""
        self._drop()
        empty_cache()
        return why


def _nothing_fits(chosen: Plan) -> str:
    r = chosen.request
    said = f"{r.model.name} at {r.size} with {r.num_frames} frames does not fit: {chosen.reason}"
    said += f" ({chosen.where})."
    if chosen.changes:
        said += f" It would with {'; or with '.join(chosen.changes)}."
    return said + f" To try all the same: --tier {chosen.tier}."


_SESSION = Session()


def session() -> Session:
    """The kernel's session."""
    return _SESSION
