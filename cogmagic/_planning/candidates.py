"""Every tier for a request on a machine: predicted, corrected by past runs, fitting or not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

from cogmagic._footprint.configs import configs_of, same
from cogmagic._footprint.footprint import footprint, text_encoder_bytes
from cogmagic._footprint.savings import NO_SAVINGS, Savings
from cogmagic._machine.gpu import Gpu
from cogmagic._machine.machine import Machine
from cogmagic._models.catalog import Dtype
from cogmagic._models.request import Request
from cogmagic._planning.correction import Situation, memory_correction, speed_correction
from cogmagic._planning.plan import Candidate
from cogmagic._tiers.balanced import orders
from cogmagic._tiers.needs import Needs, Tier, needs, reserved_bytes
from cogmagic._units import GIB

__all__ = ["PREDICTIONS", "candidates_for", "ordered", "slower"]


_SIMPLEST: tuple[Tier, ...] = (
    "none",
    "balanced",
    "model",
    "stream",
    "staged",
    "sequential",
)
"""Which of equally fast tiers is taken: the first."""


_TIE, _MOMENT = 1.02, 0.5
"""Times that differ by a smaller share, or by fewer seconds, are equal."""


_SPARE = GIB
"""Left beside the blocks that stay in `stream`; see `_sparing`."""


PREDICTIONS = "predictions 1.5"
"""To be raised when predictions change: past runs are then no measure of them any more."""


def candidates_for(
    request: Request,
    machine: Machine,
    dtype: Dtype,
    folder: Path | None,
    text: bool,
    savings: Savings = NO_SAVINGS,
    loaded: bool = False,
) -> tuple[Candidate, ...]:
    """Every tier that `machine` can do, the fastest first and of equals the simplest.

    Args:
        request: what to generate.
        machine: what is there and what is free.
        dtype: what the weights are loaded in.
        folder: the checkpoint, for an architecture outside the catalogue.
        text: whether the prompts are still to be encoded.
        savings: what is done to need less.
        loaded: whether the weights are in host memory.
    """
    if machine.device != "cuda" and folder is not None and same(configs_of(folder)) is None:
        return ()  # nothing to choose there, and a foreign architecture takes seconds to trace
    gpu, wanted = (
        machine.roomiest,
        footprint(request, dtype, folder, halves=savings.guidance_halves, lean=savings.lean_decode),
    )
    known = machine.device == "cuda" and dtype != "float32"  # whose rate nobody has looked up
    rates = machine.rates if known else None
    kept = 0
    if dtype == "float16":  # transformers keeps every `wo` of T5 in float32 then
        lean = text_encoder_bytes(request, "bfloat16", folder)
        kept = 2 * (wanted.text_encoder.weights - lean)
    found = []
    learnt = _learnt(request, machine, dtype)
    for tier in _SIMPLEST:
        if machine.device != "cuda" and tier != "none":
            continue
        if tier == "balanced" and (savings.fp8 or savings.lean_decode):
            continue
        tried = partial(
            needs,
            tier,
            request,
            wanted,
            rates,
            capability=gpu.capability if gpu else None,
            dtype=dtype,
            kept_float32=kept,
            ram=machine.ram.for_me,
            text=text,
            savings=savings,
            copies=machine.device == "cuda",
            reads=not loaded or tier in ("staged", "balanced"),
        )
        if tier == "balanced":
            found += _spread(tried, learnt(tier), machine, dtype)
            continue
        most, correct = wanted.transformer.blocks if tier == "stream" else 0, learnt(tier)
        for resident in range(most, -1, -1):  # as many as fit, or none
            need = tried(resident_blocks=resident)
            corrected = correct(need)
            candidate = _fitted(need, corrected, machine)
            spared = _sparing(corrected) if 0 < resident < most else corrected
            if not _fitted(need, spared, machine).missing_vram:
                break
        found.append(candidate)
    return ordered(found)


def _sparing(need: Needs) -> Needs:
    """With room for the allocator to keep the blocks that come and go apart from the activations.

    With reserved memory at the cap, steps took 1.23 times as long on an H100, and with this room
    1.02 to 1.04 (docs/benchmarks, streaming): it seems that the allocator otherwise gives memory
    back and asks for it anew at every block.
    """
    return replace(need, gpus=tuple({**g, "denoise": g["denoise"] + _SPARE} for g in need.gpus))


def _spread(
    tried: Callable[..., Needs],
    correct: _Correct,
    machine: Machine,
    dtype: Dtype,
) -> list[Candidate]:
    """`balanced` on the GPUs that leave most room beside it; none where there are not two."""
    found: list[tuple[int, Candidate]] = []
    for count in (2, 3):
        for order in orders(machine, dtype, count):
            need = replace(tried(gpus=count), order=order)
            corrected = correct(need)
            candidate = _fitted(need, corrected, machine)
            found.append((_least_left(corrected, machine), candidate))
    best = max(found, key=lambda pair: (-pair[1].missing_vram, pair[0]), default=None)
    return [best[1]] if best else []


def _least_left(need: Needs, machine: Machine) -> int:
    """Bytes that stay free on the fullest GPU of `balanced`, as far as they tell."""
    rooms = {g.index: g.room for g in machine.gpus}
    left = (
        (rooms[i] or 0) - reserved_bytes(phases)
        for i, phases in zip(need.order, need.gpus, strict=True)
    )
    return min(left)


def slower(seconds: float, other: float) -> bool:
    """Whether a run takes so much longer than another that it matters."""
    return seconds > max(other * _TIE, other + _MOMENT)


def ordered(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """The fastest first; of those that are about as fast, the simplest."""
    left, found = list(candidates), []
    while left:
        fastest = min(c.seconds or 0.0 for c in left)
        tied = [c for c in left if not slower(c.seconds or 0.0, fastest)]
        found.append(min(tied, key=lambda c: _SIMPLEST.index(c.tier)))
        left.remove(found[-1])
    return tuple(found)


_Correct = Callable[[Needs], Needs]


def _learnt(request: Request, machine: Machine, dtype: Dtype) -> Callable[[Tier], _Correct]:
    """What moves each tier's prediction toward what past runs on this card took.

    Memory is learnt for each tier. Speed is the card's, for all tiers alike: if only the tier that
    was run learnt that the card is slow, the others would seem fast.
    """
    gpu = machine.roomiest
    alike = Situation(
        card=gpu.name if gpu else "",
        model=request.model.name,
        dtype=dtype,
        size=request.size,
        num_frames=request.num_frames,
        versions=f"{PREDICTIONS}, {machine.versions}",
        driver=machine.driver,
    )
    rates = machine.rates.source if machine.rates else ""
    speed = speed_correction(machine.past, replace(alike, rates=rates)).factor

    def of(tier: Tier) -> _Correct:
        memory = memory_correction(machine.past, replace(alike, tier=tier)).factor
        return partial(_corrected, memory=memory, speed=speed, steps=request.num_inference_steps)

    return of


def _corrected(need: Needs, *, memory: float, speed: float, steps: int) -> Needs:
    step, total = need.step_seconds, need.seconds
    if step is not None and total is not None:
        total += steps * step * (speed - 1)
        step *= speed
    return replace(
        need,
        gpus=tuple({k: round(v * memory) for k, v in phases.items()} for phases in need.gpus),
        step_seconds=step,
        seconds=total,
    )


def _fitted(traced: Needs, need: Needs, machine: Machine) -> Candidate:
    ram = machine.ram.for_me
    short = max(need.peak_ram - ram, 0) if ram is not None else 0
    if machine.device != "cuda":
        return Candidate(need, traced, None, 0, short)
    gpus = [machine.roomiest] if machine.roomiest else []
    if need.order:
        gpus = [g for index in need.order for g in machine.gpus if g.index == index]
    takes = [(g, reserved_bytes(phases)) for g, phases in zip(gpus, need.gpus, strict=False)]
    missing = max(_missing(g, taken) for g, taken in takes)
    most = max(taken + g.context_to_come for g, taken in takes)
    return Candidate(need, traced, most, missing, short)


def _missing(gpu: Gpu, taken: int) -> int:
    return 0 if gpu.room is None else max(taken - gpu.room, 0)
