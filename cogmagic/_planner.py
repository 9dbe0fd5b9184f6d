"""Which tier a request gets on a machine, and why. Pure: nothing is read, nothing is loaded."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from cogmagic._catalog import Dtype
from cogmagic._correction import Situation, memory_correction, speed_correction
from cogmagic._curves import configs_of, same
from cogmagic._errors import RequestError, TierError, did_you_mean
from cogmagic._footprint import footprint
from cogmagic._gpu import GIB, Gpu
from cogmagic._machine import Machine
from cogmagic._placement import TIERS, Needs, Tier, context_bytes, needs, reserved_bytes
from cogmagic._plan import Candidate, Plan
from cogmagic._report import gib
from cogmagic._request import Request

__all__ = [
    "POLICIES",
    "PREDICTIONS",
    "TIERS",
    "Candidate",
    "Plan",
    "Policy",
    "Tier",
    "plan",
    "rule_of_thumb",
]

Policy = Literal["auto", "rule"]
POLICIES: tuple[Policy, ...] = get_args(Policy)

_SIMPLEST: tuple[Tier, ...] = ("none", "balanced", "model", "stream", "sequential")
"""Which of equally fast tiers is taken: the first."""
_TIE = 1.02
_LEAST_LIMIT = GIB // 2
_SPARE = GIB
PREDICTIONS = "predictions 1.1"
"""To be raised when predictions change: past runs are then no measure of them any more."""


def rule_of_thumb(machine: Machine, limit: int | None = None) -> tuple[Tier, str]:
    """The published rule as it stands, and the sentence that explains it.

    No more than `limit` bytes count as free.

    It goes by the free VRAM, rounded up to whole GiB, of the one GPU: under 16 sequential, 16 to 24
    model offload, over 24 none; on several GPUs all offload is off and components are balanced.
    Without a GPU, and on MPS, it is silent. Source: "Zai org CogVideo CPU Offload Strategy"
    (2026-02-10), which reads it out of zai-org/CogVideo.
    """
    if machine.device != "cuda" or not machine.gpus:
        where = "on MPS" if machine.device == "mps" else "no GPU"
        return "none", f"{where}: nothing is offloaded"
    if len(machine.gpus) > 1:
        return "balanced", f"{len(machine.gpus)} GPUs: components are spread, all offload is off"
    gpu = machine.gpus[0]
    if gpu.available is None:
        return "sequential", f"{gpu.name} does not tell its free VRAM: the safe end of the rule"
    available = min(gpu.available, limit or gpu.available)
    free = math.ceil(available / GIB)
    said = f"{available / GIB:.1f} GiB of VRAM available, which counts as {free}"
    if free < 16:
        return "sequential", f"{said}: under 16"
    if free <= 24:
        return "model", f"{said}: 16 to 24"
    return "none", f"{said}: over 24"


def plan(
    request: Request,
    machine: Machine,
    *,
    tier: str | None = None,
    policy: str = "auto",
    vram_limit: int | None = None,
    folder: Path | None = None,
    download: int = 0,
    text: bool = True,
) -> Plan:
    """Choose the tier for `request` on `machine`, or check the one that was asked for.

    Args:
        request: what to generate.
        machine: what is there and what is free now.
        tier: a tier to take whatever its prospects; None or ``auto`` to choose.
        policy: ``auto``, the fastest tier predicted to fit, or ``rule``, the published thresholds.
        vram_limit: bytes that the run may take of a GPU, its CUDA context included.
        folder: the checkpoint; needed for an architecture outside the catalogue.
        download: bytes of it that are still to come from the hub.
        text: whether the prompts are still to be encoded.

    Raises:
        TierError: when `tier` or `policy` does not exist or this machine cannot do it.
        RequestError: when the GPU cannot compute in the dtype.
    """
    _check_limit(vram_limit)
    rule, rule_reason = rule_of_thumb(machine, vram_limit)
    forced = check_tier(tier, machine)
    if policy not in POLICIES:
        raise TierError(
            f"Unknown policy {policy!r}.{did_you_mean(policy, POLICIES)}"
            f" Choose from: {', '.join(POLICIES)}."
        )
    dtype = dtype_for(request, machine)
    candidates = _candidates(request, machine, dtype, vram_limit, folder, text)
    lacking = max(download - machine.disk, 0) if machine.disk is not None else 0
    if lacking:
        candidates = tuple(replace(c, missing_disk=lacking) for c in candidates)
    chosen, reason = _choice(candidates, machine)
    if policy == "rule":
        chosen, reason = rule, f"the rule: {rule_reason}"
    if forced is not None:
        chosen, reason = forced, f"asked for; {'the rule' if policy == 'rule' else 'the planner'}"
        reason += f" says {rule if policy == 'rule' else _choice(candidates, machine)[0]}"
    found = Plan(
        request=request,
        candidates=candidates,
        tier=chosen,
        reason=reason,
        device=machine.device,
        dtype=dtype,
        rule=rule,
        rule_reason=rule_reason,
        where=_where(machine, vram_limit),
        download=download,
        text=text,
    )
    if machine.device != "cuda" and found.fits:
        return found
    changes = _changes(found, machine, vram_limit, folder)
    return replace(found, changes=changes)


def _check_limit(limit: object) -> None:
    if limit is None or (isinstance(limit, int) and limit >= _LEAST_LIMIT):
        return
    hint = " In a cell, --vram-limit takes GiB." if isinstance(limit, int | float) else ""
    raise RequestError(
        f"vram_limit={limit!r} is no whole number of bytes from {_LEAST_LIMIT:,} (0.5 GiB): for"
        f" 10 GiB it is vram_limit=10 * 2**30.{hint}"
    )


def check_tier(tier: str | None, machine: Machine) -> Tier | None:
    """The tier that was asked for by name, or None for ``auto``.

    Raises:
        TierError: when it does not exist or `machine` cannot do it.
    """
    if tier is None or tier == "auto":
        return None
    found: Tier | None = next((t for t in TIERS if t == tier), None)
    if found is None:
        raise TierError(
            f"Unknown tier {tier!r}.{did_you_mean(tier, TIERS)}"
            f" Choose from: auto, {', '.join(TIERS)}."
        )
    if found == "balanced" and len(machine.gpus) < 2:
        count = len(machine.gpus)
        raise TierError(
            f"Tier 'balanced' spreads components over several GPUs, but this machine has {count}."
            " Use --tier auto."
        )
    if machine.device == "mps" and found in ("sequential", "stream"):
        raise TierError(f"Tier {found!r} does not work on MPS. Use --tier none.")
    return found


def dtype_for(request: Request, machine: Machine) -> Dtype:
    """What the weights are loaded in.

    Raises:
        RequestError: for bfloat16 on a GPU without it (before Ampere).
    """
    # CPUs run 16-bit 3D convolutions some hundred times slower than 32-bit ones.
    default: Dtype = "float32" if machine.device == "cpu" else request.model.dtype
    dtype = request.dtype or default
    gpu = machine.roomiest
    old = gpu is not None and gpu.capability is not None and gpu.capability < (8, 0)
    if machine.device == "cuda" and old and dtype == "bfloat16":
        assert gpu is not None  # noqa: S101 - `old` says so
        raise RequestError(
            f"{gpu.name} cannot compute in bfloat16, which {request.model.name} was trained in"
            " (that takes Ampere or newer). Use --model 2b, or try --dtype float16, with which"
            " the picture may be black."
        )
    return dtype


def _candidates(
    request: Request,
    machine: Machine,
    dtype: Dtype,
    limit: int | None,
    folder: Path | None,
    text: bool,
) -> tuple[Candidate, ...]:
    """Every tier that `machine` can do, the fastest first and of equals the simplest."""
    if machine.device != "cuda" and folder is not None and same(configs_of(folder)) is None:
        return ()  # nothing to choose there, and a foreign architecture takes seconds to trace
    gpu, wanted = machine.roomiest, footprint(request, dtype, folder)
    rates = machine.rates if machine.device == "cuda" else None
    kept = 0
    if dtype == "float16":  # transformers keeps every `wo` of T5 in float32 then
        lean = footprint(request, "bfloat16", folder).text_encoder.weights
        kept = 2 * (wanted.text_encoder.weights - lean)
    found = []
    for tier in _SIMPLEST:
        if machine.device != "cuda" and tier != "none":
            continue
        if tier == "balanced" and (len(machine.gpus) < 2 or not _all_compute(machine, dtype)):
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
            gpus=len(machine.gpus),
            text=text,
        )
        most = wanted.transformer.blocks if tier == "stream" else 0
        for resident in range(most, -1, -1):  # as many as fit, or none
            need = tried(resident_blocks=resident)
            corrected = _corrected(need, request, machine, dtype)
            candidate = _fitted(need, corrected, machine, limit)
            spared = _sparing(corrected) if 0 < resident < most else corrected
            if not _fitted(need, spared, machine, limit).missing_vram:
                break
        found.append(candidate)
    return _ordered(found)


def _sparing(need: Needs) -> Needs:
    """With room for the allocator to keep the blocks that come and go apart from the activations.

    Filled to the brim it gives memory back and asks anew at every block: on an H100 such steps took
    1.23 times as long (docs/benchmarks/stream.jsonl).
    """
    return replace(need, gpus=tuple({**g, "denoise": g["denoise"] + _SPARE} for g in need.gpus))


def _all_compute(machine: Machine, dtype: Dtype) -> bool:
    """Whether every GPU can compute in `dtype`."""
    known = [g.capability for g in machine.gpus if g.capability is not None]
    return dtype != "bfloat16" or all(capability >= (8, 0) for capability in known)


def _ordered(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """The fastest first; of those within 2 % of it, the simplest."""
    left, found = list(candidates), []
    while left:
        fastest = min(c.needs.seconds or 0.0 for c in left)
        tied = [c for c in left if (c.needs.seconds or 0.0) <= fastest * _TIE]
        found.append(min(tied, key=lambda c: _SIMPLEST.index(c.tier)))
        left.remove(found[-1])
    return tuple(found)


def _corrected(need: Needs, request: Request, machine: Machine, dtype: Dtype) -> Needs:
    """The prediction, moved toward what past runs on this card took.

    Memory is learnt for each tier. Speed is the card's, for all tiers alike: if only the tier that
    was run learnt that the card is slow, the others would seem fast.
    """
    gpu = machine.roomiest
    alike = Situation(
        gpu.name if gpu else "", request.model.name, need.tier, dtype, versions=PREDICTIONS
    )
    memory = memory_correction(machine.past, alike).factor
    speed = speed_correction(machine.past, replace(alike, tier="")).factor
    step, total = need.step_seconds, need.seconds
    if step is not None and total is not None:
        total += request.num_inference_steps * step * (speed - 1)
        step *= speed
    return replace(
        need,
        gpus=tuple({k: round(v * memory) for k, v in phases.items()} for phases in need.gpus),
        step_seconds=step,
        seconds=total,
    )


def _fitted(traced: Needs, need: Needs, machine: Machine, limit: int | None) -> Candidate:
    ram = machine.ram.for_me
    short = max(need.peak_ram - ram, 0) if ram is not None else 0
    if machine.device != "cuda":
        return Candidate(need, traced, None, 0, short)
    gpus = sorted(machine.gpus, key=lambda g: g.available or 0, reverse=True)
    takes = [(g, reserved_bytes(phases)) for g, phases in zip(gpus, need.gpus, strict=False)]
    missing = max(_missing(g, taken, limit) for g, taken in takes)
    most = max(taken + _context_to_come(g) for g, taken in takes)
    return Candidate(need, traced, most, missing, short)


def _context_to_come(gpu: Gpu) -> int:
    """The CUDA context, unless this kernel has it already (then it is not in what is free)."""
    return context_bytes() if gpu.reserved is None else 0


def _missing(gpu: Gpu, taken: int, limit: int | None) -> int:
    lacks = [0]
    if gpu.available is not None:
        lacks.append(taken + _context_to_come(gpu) - gpu.available)
    if limit is not None:
        lacks.append(taken + context_bytes() - limit)
    return max(lacks)


def _choice(candidates: tuple[Candidate, ...], machine: Machine) -> tuple[Tier, str]:
    gpu = machine.roomiest
    if machine.device != "cuda" and all(c.fits for c in candidates):
        return rule_of_thumb(machine)
    if gpu is not None and gpu.available is None:
        return "sequential", f"{gpu.name} does not tell its free VRAM: the tier that needs least"
    fitting = [c for c in candidates if c.fits]
    if not fitting:
        least = min(candidates, key=_lack)
        return least.tier, f"nothing fits: {least.tier}, which needs least, lacks {least.lack}"
    best = _ordered(fitting)[0]
    faster = [c for c in candidates[: candidates.index(best)] if not c.fits]
    if not faster:
        return best.tier, f"the fastest, and its {gib(best.peak_vram)} of VRAM fit"
    others = ", ".join(f"{c.tier} lacks {c.lack}" for c in faster)
    return best.tier, f"the fastest that fits in {gib(best.peak_vram)} of VRAM; {others}"


def _changes(
    found: Plan, machine: Machine, limit: int | None, folder: Path | None
) -> tuple[str, ...]:
    """What would let the fastest tier that does not fit, or any tier at all, run."""
    lacking = [c for c in found.candidates if not c.fits]
    if not lacking:
        return ()
    stuck = len(lacking) == len(found.candidates)
    target = min(lacking, key=_lack)
    if not stuck:
        worth = _worth(lacking, found)
        if not worth:
            return ()
        target = min(worth, key=_lack)
    said = [f"{target.lack} more: {target.tier}{_gain(target, found)}"]
    smaller = _fewer_frames(found, machine, limit, folder, target.tier)
    if smaller is not None:
        said.append(f"--num-frames {smaller}: {target.tier}")
    return tuple(said)


def _worth(lacking: list[Candidate], found: Plan) -> list[Candidate]:
    """Those of the tiers that lack something which would be about the fastest of all."""
    paces = {c.tier: c.needs.seconds or 0.0 for c in found.candidates}
    now = paces.get(found.tier, 0.0)
    best = min(paces[c.tier] for c in lacking)
    if best > now / _TIE and now:  # nothing to gain, but perhaps simplicity
        first = lacking[0]
        simpler = found.candidates.index(first) < [c.tier for c in found.candidates].index(
            found.tier
        )
        return [first] if simpler else []
    return [c for c in lacking if paces[c.tier] <= best * _TIE]


def _lack(candidate: Candidate) -> int:
    return candidate.missing_vram + candidate.missing_ram + candidate.missing_disk


def _gain(target: Candidate, found: Plan) -> str:
    mine, now = target.needs.seconds, found.seconds
    return f", {mine:.0f} s instead of {now:.0f} s" if mine and now and now > mine else ""


def _fewer_frames(
    found: Plan, machine: Machine, limit: int | None, folder: Path | None, tier: Tier
) -> int | None:
    """The most frames with which `tier` would fit, or None."""
    if any(c.missing_disk for c in found.candidates):
        return None
    frames: Iterable[int] = reversed(found.request.model.frames.legal())
    for count in (n for n in frames if n < found.request.num_frames):
        request = replace(found.request, num_frames=count)
        for candidate in _candidates(request, machine, found.dtype, limit, folder, found.text):
            if candidate.tier == tier and candidate.fits:
                return count
    return None


def _where(machine: Machine, limit: int | None) -> str:
    if machine.device != "cuda" or not machine.gpus:
        return machine.device.upper()
    names = " + ".join(f"{g.name} ({gib(g.available)} available)" for g in machine.gpus)
    return names + (f", limited to {gib(limit)}" if limit is not None else "")
