"""A GPU as a value: its model, its free memory now, and this kernel's share of it."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, SupportsIndex

from cogmagic._errors import RequestError
from cogmagic._units import GIB

__all__ = ["Gpu", "context_bytes", "gpu_count", "gpu_names", "has_bf16", "selected"]

_MOST_GPUS = 1024
"""Most GPUs of a video: a larger number is a slip."""


@dataclass(frozen=True)
class Gpu:
    """A GPU with torch's index. Memory in bytes; None where unknown."""

    index: int
    name: str
    uuid: str | None = None
    total: int | None = None
    free: int | None = None
    """Free memory as the driver reports it, now."""
    reserved: int | None = None
    """Memory that torch's allocator reserves in this kernel; None without a CUDA context."""
    allocated: int | None = None
    """The part of `reserved` that tensors use."""
    allowed: int | None = None
    """The most that this kernel may use, context and all tensors; None without a limit."""
    capability: tuple[int, int] | None = None
    source: Literal["nvml", "driver", "sysfs", "metal", "described"] = "described"
    unified: bool = False
    """Whether its memory is the host's: what one uses, the other lacks."""

    @property
    def bf16(self) -> bool | None:
        """Whether it computes in bfloat16; None where its capability is unknown."""
        return None if self.capability is None else has_bf16(self.capability)

    @property
    def available(self) -> int | None:
        """Memory that a run could use: free, or cached by this kernel without being in use.

        At most what `allowed` leaves beside the tensors in use.
        """
        if self.free is None:
            return None
        usable = self.free + self.cached
        return usable if self.quota is None else min(usable, self.quota)

    @property
    def cached(self) -> int:
        """Memory that this kernel's allocator reserves without using it."""
        return (self.reserved or 0) - (self.allocated or 0)

    @property
    def quota(self) -> int | None:
        """What `allowed` leaves besides the tensors in use; None without a limit."""
        if self.allowed is None:
            return None
        context = self._context - self.context_to_come
        return max(self.allowed - (self.allocated or 0) - context, 0)

    @property
    def context_to_come(self) -> int:
        """Bytes of a CUDA context that this kernel has yet to create; 0 if it has one."""
        return self._context if self.reserved is None else 0

    @property
    def _context(self) -> int:
        return 0 if self.source == "metal" else context_bytes()

    @property
    def room(self) -> int | None:
        """Memory that tensors could use: `available` less the CUDA context to come."""
        return None if self.available is None else self.available - self.context_to_come

    def sharing(self, total: int | None, available: int | None) -> Gpu:
        """With the host's `total` and `available` bytes as its own, if it is unified."""
        if not self.unified:
            return self
        return replace(self, total=self.total or total, free=available)

    @property
    def others(self) -> int | None:
        """An estimate of other processes' memory: all that is neither free nor this kernel's.

        It includes the driver's share and this kernel's CUDA context, which are not reported.
        """
        if self.total is None or self.free is None:
            return None
        return max(self.total - self.free - (self.reserved or 0), 0)


def has_bf16(capability: tuple[int, int]) -> bool:
    """Whether GPUs of a compute capability compute in bfloat16: Ampere and newer."""
    return capability >= (8, 0)


def context_bytes() -> int:
    """Bytes of a CUDA context with its loaded kernels: 0.7 GiB, as on an H100 (docs/benchmarks)."""
    return round(0.7 * GIB)


def gpu_names(gpus: object) -> tuple[str, ...]:
    """Names of GPUs from ``"0,2"``, ``1`` or ``[0, "GPU-8932f937"]``; none for None.

    Raises:
        RequestError: for anything else.
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


def gpu_count(value: object, option: str = "parallel=") -> int | Literal["all"]:
    """The GPUs that make one video together: a number from 1, or ``all``; None is 1.

    Args:
        value: a whole number, or a text with one or with ``all``.
        option: what the person types before it, as the message repeats it: ``--parallel``.

    Raises:
        RequestError: for anything else.
    """
    word = value.strip().lower() if isinstance(value, str) else ""
    if word == "all":
        return "all"
    number = 1 if value is None else 0
    if re.fullmatch(r"[+]?[0-9]{1,9}", word):
        number = int(word)
    elif isinstance(value, SupportsIndex) and not isinstance(value, bool):
        number = operator.index(value)
    if 1 <= number <= _MOST_GPUS:
        return number
    python = option.endswith("=")
    typed, every = (option, '"all"') if python else (f"{option} ", "all")
    raise RequestError(
        f"{typed}{repr(value) if python else value!s:.40} is not a number of GPUs (1 to"
        f" {_MOST_GPUS}). For two: {typed}2. For as many as help: {typed}{every}."
    )


def selected(gpus: tuple[Gpu, ...], names: Sequence[str]) -> tuple[Gpu, ...]:
    """The GPUs of some names: torch's index, or the beginning of a UUID.

    Raises:
        RequestError: for a GPU that the machine does not have, with those that it has.
    """
    for name in names:
        count = sum(_is(gpu, name) for gpu in gpus)
        if count != 1:
            choices = ", ".join(f"{g.index} ({g.name})" for g in gpus)
            advice = (
                f"Choose from {choices}." if choices else "No GPU can be used; leave --gpus out."
            )
            quoted = f"{name!r:.60}"
            problem = (
                f"{quoted} names {count} GPUs" if count else f"this machine has no GPU {quoted}"
            )
            raise RequestError(f"--gpus: {problem}. {advice}")
    return tuple(g for g in gpus if any(_is(g, name) for name in names))


def _is(gpu: Gpu, name: str) -> bool:
    if name.isdecimal():
        return gpu.index == int(name)
    return (gpu.uuid or "").lower().startswith(name.lower())
