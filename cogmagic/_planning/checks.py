"""What a machine cannot do at all, told before anything is loaded."""

from __future__ import annotations

from cogmagic._errors import RequestError, TierError, did_you_mean
from cogmagic._footprint.savings import Savings
from cogmagic._machine.machine import Machine
from cogmagic._models.catalog import Dtype
from cogmagic._tiers.needs import TIERS, Tier
from cogmagic._units import GIB

__all__ = ["check_limit", "check_savings", "check_spread", "check_tier"]


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


def check_savings(savings: Savings, tier: str | None, machine: Machine) -> None:
    """Refuse savings that cannot be made.

    Raises:
        RequestError: when the storage of weights does not work on this device.
        TierError: for ``balanced``, whose loader places whole components with hooks of its own.
    """
    storage = savings.weights
    if storage and (refusal := storage.refusal(machine.device)):
        raise RequestError(refusal)
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
