"""What past runs on this machine say about the next one: corrections, and compile times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial

from cogmagic._machine.machine import Machine
from cogmagic._models.model import Dtype
from cogmagic._models.request import Request
from cogmagic._pipeline.parallel.split import WHOLE, Split
from cogmagic._planning.compile_time import code_keys, compile_seconds
from cogmagic._planning.correction import Situation, memory_correction, speed_correction
from cogmagic._planning.memory_options import Available
from cogmagic._planning.resolved import Resolved
from cogmagic._tiers.base import Tier
from cogmagic._tiers.needs import Needs

__all__ = ["PREDICTIONS", "Correct", "compiling_seconds", "corrections"]


PREDICTIONS = "predictions 1.6"
"""To be raised when predictions change: past runs then no longer measure them."""


Correct = Callable[[Needs], Needs]


def _situation(request: Request, machine: Machine, dtype: Dtype) -> Situation:
    """The run to predict, as past runs are compared with it."""
    gpu = machine.roomiest
    return Situation(
        card=gpu.name if gpu else "",
        model=request.model.name,
        dtype=dtype,
        size=request.size,
        num_frames=request.num_frames,
        versions=f"{PREDICTIONS}, {machine.versions}",
        driver=machine.driver,
    )


def compiling_seconds(
    request: Request, machine: Machine, dtype: Dtype, available: Available, split: Split = WHOLE
) -> Callable[[Resolved], float]:
    """The seconds of compiling before the first step of a run."""
    situation = _situation(request, machine, dtype)

    @cache
    def seconds(uses: Resolved) -> float:
        if not uses.speedups.compile:
            return 0.0
        keys = code_keys(request, dtype, uses, split)
        run = replace(situation, uses=uses.text)
        return compile_seconds(machine.past, run, available.code, keys)

    return seconds


def corrections(
    request: Request, machine: Machine, dtype: Dtype
) -> Callable[[Tier, Resolved], Correct]:
    """The correction of each tier's prediction toward what past runs on this card took.

    Memory is learned for each tier. Speed is the card's, for all tiers alike: if only the tier that
    was run learned that the card is slow, the others would seem fast.
    """
    situation, rates = _situation(request, machine, dtype), machine.rates_in(dtype)

    @cache
    def speed(uses: str) -> float:
        source = rates.source if rates else ""
        return speed_correction(machine.past, replace(situation, rates=source, uses=uses)).factor

    def of(tier: Tier, uses: Resolved) -> Correct:
        run = replace(situation, tier=tier.name, uses=uses.text)
        return partial(
            _corrected,
            memory=memory_correction(machine.past, run).factor,
            speed=speed(uses.text),
            steps=request.denoising_steps,
        )

    return of


def _corrected(needs: Needs, *, memory: float, speed: float, steps: int) -> Needs:
    step, total, later = needs.step_seconds, needs.seconds, needs.next_seconds
    if step is not None and total is not None and later is not None:
        more = steps * step * (speed - 1)
        total, later, step = total + more, later + more, step * speed
    return replace(
        needs,
        gpus=tuple({k: round(v * memory) for k, v in phases.items()} for phases in needs.gpus),
        step_seconds=step,
        seconds=total,
        next_seconds=later,
    )
