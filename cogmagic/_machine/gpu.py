"""One GPU as a value: what it is, what is free on it now, and what this kernel holds of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cogmagic._errors import RequestError
from cogmagic._units import GIB

__all__ = ["Gpu", "context_bytes", "gpu_names", "has_bf16", "selected"]


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
    def bf16(self) -> bool | None:
        """Whether it computes in bfloat16; None where its capability is unknown."""
        return None if self.capability is None else has_bf16(self.capability)

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


def has_bf16(capability: tuple[int, int]) -> bool:
    """Whether GPUs of a compute capability compute in bfloat16: Ampere and newer."""
    return capability >= (8, 0)


def context_bytes() -> int:
    """A CUDA context with its loaded kernels: 0.7 GiB on an H100 (docs/benchmarks)."""
    return round(0.7 * GIB)


def gpu_names(gpus: object) -> tuple[str, ...]:
    """What ``"0,2"``, ``1`` or ``[0, "GPU-8932f937"]`` names; nothing for None.

    Raises:
        RequestError: for what names no GPU.
    """
    if gpus is None:
        return ()
    words: Sequence[object] = [gpus]
    if isinstance(gpus, str):
        words = [word.strip() for word in gpus.split(",")]
    elif isinstance(gpus, Sequence):
        words = gpus
    names = [str(w) for w in words if isinstance(w, str | int) and not isinstance(w, bool)]
    if not names or len(names) < len(words) or not all(names):
        raise RequestError(f"--gpus {gpus!r:.80}: name GPUs by index or UUID, as --gpus 0,2.")
    return tuple(names)


def selected(gpus: tuple[Gpu, ...], names: Sequence[str]) -> tuple[Gpu, ...]:
    """Those of `gpus` that are named: by torch's index, or by the beginning of their UUID.

    Raises:
        RequestError: for one that is not there, with those that are.
    """
    for name in names:
        count = sum(_is(gpu, name) for gpu in gpus)
        if count != 1:
            there = ", ".join(f"{g.index} ({g.name})" for g in gpus)
            known = f"Choose from {there}." if there else "There is none to use; leave it out."
            said = f"{name!r:.60} names {count} GPUs" if count else f"there is no GPU {name!r:.60}"
            raise RequestError(f"--gpus: {said}. {known}")
    return tuple(g for g in gpus if any(_is(g, name) for name in names))


def _is(gpu: Gpu, name: str) -> bool:
    if name.isdecimal():
        return gpu.index == int(name)
    return (gpu.uuid or "").lower().startswith(name.lower())
