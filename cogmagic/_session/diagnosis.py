"""Diagnosis of out-of-memory errors: which memory ran out, and why."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from cogmagic._footprint.work import ITEM
from cogmagic._machine.failures import is_device_shortage
from cogmagic._machine.gpu import context_bytes
from cogmagic._machine.machine import Machine
from cogmagic._models.chunks import chunk_of
from cogmagic._models.family import padded_frames, video_tokens
from cogmagic._pipeline.attention_scores import scores
from cogmagic._planning.plan import Plan
from cogmagic._session.parallel.failures import WorkerLost
from cogmagic._units import GIB, gib

__all__ = ["Shortage", "cause_of"]


Kind = Literal["device", "fragmented", "others", "attention", "host", "lost"]


_TAKEN_BY_OTHERS = GIB // 4
"""Bytes that other processes must have taken since planning to be named as the cause."""


_UNITS = {"B": 1, "bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


@dataclass(frozen=True)
class Shortage:
    """Why memory ran out, or which worker was lost."""

    kind: Kind
    text: str
    """The cause as a clause."""

    @property
    def of_host(self) -> bool:
        """Whether host memory ran out rather than the GPU's."""
        return self.kind == "host"

    @property
    def lost(self) -> bool:
        """Whether a worker ended in the middle of the run."""
        return self.kind == "lost"

    def after(self, made: str) -> Shortage:
        """The shortage that came after so much was made, such as ``4 of 6 chunks``."""
        return replace(self, text=f"after {made}, {self.text}") if made else self


def cause_of(failure: BaseException, plan: Plan, before: Machine, now: Machine) -> Shortage:
    """Why memory ran out in a run.

    Args:
        failure: an error for which `is_shortage` is true, or the loss of a worker.
        plan: of the run.
        before: the machine when the run was planned.
        now: the machine after the run has freed its memory.
    """
    if isinstance(failure, WorkerLost):
        return Shortage("lost", str(failure))
    words = str(failure).splitlines()[0][:160] if str(failure) else ""
    quoted = f" ({words})" if words else ""
    if not is_device_shortage(failure):
        left = gib(now.ram.available)
        return Shortage("host", f"host memory ran out{quoted}, {left} are free now")
    asked, cached = _amount(failure, "allocate"), _amount(failure, "unallocated")
    whole = _attention_bytes(plan)
    if asked and abs(asked - whole) < whole / 50:
        advice = "" if plan.dtype == "float16" else ". Try --dtype float16"
        return Shortage(
            "attention",
            f"{gib(asked)} were requested at once: attention without a fused kernel, which torch"
            f" falls back to where the GPU has none for {plan.dtype}{advice}",
        )
    taken = _taken(before, now)
    if taken >= _TAKEN_BY_OTHERS and _too_little_left(plan, now):
        return Shortage("others", f"other processes have taken {gib(taken)} of VRAM since planning")
    if asked and cached and cached >= asked:
        return Shortage(
            "fragmented",
            f"VRAM was fragmented: {gib(asked)} requested, {gib(cached)} reserved but unused",
        )
    return Shortage("device", f"VRAM ran out{quoted}")


def _amount(failure: BaseException, word: str) -> int | None:
    """Bytes in torch's message, such as "Tried to allocate 35.31 GiB"."""
    amount = r"([\d.]+) (bytes|[KMG]iB|B)"
    pattern = rf"allocate {amount}" if word == "allocate" else rf"{amount} is reserved by PyTorch"
    match = re.search(pattern, str(failure))
    return round(float(match[1]) * _UNITS[match[2]]) if match else None


def _attention_bytes(plan: Plan) -> int:
    """Bytes of one block's attention matrix: 35.31 GiB in 2b and 56.50 GiB in 5b, in 16 bits.

    batch × heads × tokens² × bytes of a number; a patch covers 16 × 16 pixels, and in CogVideoX
    1.5 two latent frames.
    """
    request, model = chunk_of(plan.request), plan.request.model
    patch = model.architecture.patch_size_t
    frames = padded_frames(request.latent_frames, patch)
    clip = frames, request.height // 8, request.width // 8
    tokens = model.max_tokens + video_tokens(clip, patch_size_t=patch)
    halves = plan.savings.guidance_halves
    return scores(request, tokens, halves=halves) * ITEM[plan.dtype]


def _too_little_left(plan: Plan, now: Machine) -> bool:
    """Whether the plan no longer fits; if it does, a limit of this process ended the run."""
    left = [gpu.available for gpu in now.gpus if gpu.available is not None]
    return plan.peak_vram is None or not left or max(left) < plan.peak_vram


def _taken(before: Machine, now: Machine) -> int:
    """Bytes of VRAM that other processes use now and did not use before.

    Unified memory does not count: what the GPU's processes use of it is unknown.
    """
    then = {g.index: g for g in before.gpus}
    grown = 0
    for gpu in now.gpus:
        was = then.get(gpu.index)
        if was is None or was.others is None or gpu.others is None or gpu.unified:
            continue
        mine = context_bytes() if was.reserved is None and gpu.reserved is not None else 0
        grown = max(grown, gpu.others - was.others - mine)
    return grown
