"""What a machine cannot do at all, told before anything is loaded."""

from __future__ import annotations

from cogmagic._catalog import Dtype
from cogmagic._errors import RequestError, TierError, did_you_mean
from cogmagic._gpu import GIB, Gpu
from cogmagic._machine import Machine
from cogmagic._placement import TIERS, Tier
from cogmagic._request import Request
from cogmagic._savings import Savings

KEEPS = ("hot", "warm", "cold")

__all__ = [
    "KEEPS",
    "check_keep",
    "check_limit",
    "check_savings",
    "check_spread",
    "check_tier",
    "dtype_for",
    "picture_risk",
    "unmeasured",
]

_LEAST_LIMIT = GIB // 2


def check_limit(limit: object) -> None:
    """Refuse a limit that is no number of bytes.

    Raises:
        RequestError: for it.
    """
    if limit is None or (isinstance(limit, int) and limit >= _LEAST_LIMIT):
        return
    hint = " In a cell, --vram-limit takes GiB." if isinstance(limit, int | float) else ""
    raise RequestError(
        f"vram_limit={limit!r} is no whole number of bytes from {_LEAST_LIMIT:,} (0.5 GiB): for"
        f" 10 GiB it is vram_limit=10 * 2**30.{hint}"
    )


def check_keep(keep: object) -> str:
    """What is to stay after a run.

    Raises:
        RequestError: for any other word.
    """
    if keep not in KEEPS:
        raise RequestError(
            f"Unknown keep {keep!r:.80}.{did_you_mean(str(keep), KEEPS)}"
            f" Choose from: {', '.join(KEEPS)}."
        )
    return str(keep)


def check_savings(savings: Savings, tier: str | None, machine: Machine) -> None:
    """Refuse savings that cannot be made.

    Raises:
        RequestError: for what is no yes or no, and for fp8 on MPS, which has no such numbers.
        TierError: for ``balanced``, whose loader places whole components with hooks of its own.
    """
    for name, value in vars(savings).items():
        if not isinstance(value, bool):
            raise RequestError(f"{name}={value!r:.80} is not True or False.")
    if savings.fp8 and machine.device == "mps":
        raise RequestError("--fp8 does not work on MPS. Leave it out.")
    if tier == "balanced" and (savings.fp8 or savings.lean_decode):
        raise TierError(
            f"Tier 'balanced' does not work with {savings.flags}."
            " Use --tier stream, or leave that out."
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
            f"Unknown tier {tier!r:.80}.{did_you_mean(str(tier), TIERS)}"
            f" Choose from: auto, {', '.join(TIERS)}."
        )
    if found == "balanced":
        check_spread(len(machine.gpus))
    if machine.device == "mps" and found in ("sequential", "stream"):
        raise TierError(f"Tier {found!r} does not work on MPS. Use --tier none.")
    return found


def check_spread(count: int, dtype: Dtype | None = None) -> None:
    """Refuse `balanced` on fewer than two GPUs (that compute in `dtype`).

    Raises:
        TierError: for it.
    """
    if count < 2:
        able = f" that can compute in {dtype}" if dtype else ""
        raise TierError(
            f"Tier 'balanced' spreads components over several GPUs, but there is"
            f" {count or 'none'} to use{able}. Use --tier auto."
        )


def picture_risk(request: Request, dtype: Dtype) -> str:
    """What may happen to the picture in a precision that the model was not trained in, if any."""
    if dtype != "float16" or request.model.dtype != "bfloat16":
        return ""
    return f"{request.model.name} was trained in bfloat16: in float16 the picture may be black"


def unmeasured(machine: Machine) -> str:
    """What of a plan for `machine` rests on no measurement of its kind, if anything."""
    gpu = machine.roomiest
    if machine.device != "cuda" or gpu is None or not _before_ampere(gpu):
        return ""
    return f"{gpu.name} is older than Ampere, of which no card was measured: memory may differ"


def _before_ampere(gpu: Gpu) -> bool:
    return gpu.capability is not None and gpu.capability < (8, 0)


def dtype_for(request: Request, machine: Machine) -> Dtype:
    """What the weights are loaded in.

    Raises:
        RequestError: for bfloat16 on a GPU without it (before Ampere).
    """
    # CPUs run 16-bit 3D convolutions some hundred times slower than 32-bit ones.
    default: Dtype = "float32" if machine.device == "cpu" else request.model.dtype
    dtype = request.dtype or default
    gpu = machine.roomiest
    if machine.device == "cuda" and gpu and _before_ampere(gpu) and dtype == "bfloat16":
        new = (g for g in machine.gpus if g.capability and not _before_ampere(g))
        trained = request.model.dtype == "bfloat16"
        way = "--model 2b, or try --dtype float16, with which the picture may be black"
        if not trained:
            way = f"leave --dtype out: {request.model.name} is made for {request.model.dtype}"
        if other := next(new, None):
            way = f"use --gpus {other.index} ({other.name}), {way}"
        elif trained:
            way = f"use {way}"
        which = f", which {request.model.name} was trained in" if trained else ""
        raise RequestError(
            f"{gpu.name} cannot compute in bfloat16{which} (that takes Ampere or newer)."
            f" {way[0].upper()}{way[1:]}."
        )
    return dtype
