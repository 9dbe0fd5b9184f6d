"""One GPU as a value: what it is, what is free on it now, and what this kernel holds of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["GIB", "Gpu", "context_bytes"]

GIB = 2**30


@dataclass(frozen=True)
class Gpu:
    """One GPU as torch numbers it. Memory in bytes; None where unknown."""

    index: int
    name: str
    uuid: str | None = None
    total: int | None = None
    free: int | None = None
    """What the driver calls free, now."""
    reserved: int | None = None
    """What torch's allocator holds in this kernel; None while it has no CUDA context there."""
    allocated: int | None = None
    """The part of `reserved` that tensors use."""
    allowed: int | None = None
    """What this kernel may take of it, its context and all its tensors; None without a limit."""
    capability: tuple[int, int] | None = None
    source: Literal["nvml", "sysfs", "described"] = "described"

    @property
    def available(self) -> int | None:
        """What a run could use: free, and what this kernel has cached but not in use.

        No more than is allowed beside what it does use.
        """
        if self.free is None:
            return None
        mine = self.allocated or 0
        room = self.free + (self.reserved or 0) - mine
        if self.allowed is None:
            return room
        context = context_bytes() - self.context_to_come
        return min(room, max(self.allowed - mine - context, 0))

    @property
    def context_to_come(self) -> int:
        """Bytes of the CUDA context, unless this kernel has it: it is then in what is not free."""
        return context_bytes() if self.reserved is None else 0

    @property
    def room(self) -> int | None:
        """What tensors could take: `available`, less the CUDA context that comes first."""
        return None if self.available is None else self.available - self.context_to_come

    @property
    def others(self) -> int | None:
        """An estimate of what others use: all that is neither free nor this kernel's.

        The driver's own share and this kernel's CUDA context are in it, since neither is told.
        """
        if self.total is None or self.free is None:
            return None
        return max(self.total - self.free - (self.reserved or 0), 0)


def context_bytes() -> int:
    """A CUDA context with its loaded kernels: 0.7 GiB on an H100 (docs/benchmarks)."""
    return round(0.7 * GIB)
