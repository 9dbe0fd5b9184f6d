"""Which parts of a speed a run has on a machine and in a tier. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from cogmagic._footprint.savings import NO_SAVINGS, Savings
from cogmagic._machine.machine import Machine
from cogmagic._models.catalog import Dtype
from cogmagic._pipeline.speedups import NO_SPEEDUPS, Speedups
from cogmagic._planning.memory_options import MemoryOptions
from cogmagic._tiers.base import Tier

__all__ = ["EXACT", "Resolved", "resolved"]


@dataclass(frozen=True)
class Resolved:
    """What a run uses of the options and the speed that were asked for."""

    savings: Savings = NO_SAVINGS
    speedups: Speedups = NO_SPEEDUPS
    left_out: tuple[str, ...] = ()
    """The parts of the speed that are left out, each with the reason, such as ``compiling, which
    tier 'sequential' cannot``."""


EXACT = Resolved()


def resolved(
    options: MemoryOptions, machine: Machine, dtype: Dtype, tier: Tier | None = None
) -> Resolved:
    """What a run uses of the options and the speed that were asked for.

    Args:
        options: what the person chose.
        machine: where.
        dtype: the dtype in which the weights are loaded.
        tier: the tier; None to leave out only what no tier can use here.
    """
    del machine, dtype, tier
    return Resolved(options.savings, Speedups(compile=options.compile))
