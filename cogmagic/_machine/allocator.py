"""Torch's allocator: options, limits, peaks and release. Imports torch only where it is used."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from cogmagic._machine.gpu import context_bytes
from cogmagic._machine.imported_torch import imported_torch
from cogmagic._machine.machine import Machine
from cogmagic._machine.ram import own_ram, trim
from cogmagic._machine.torch_build import torch_build

__all__ = [
    "Peaks",
    "allocated",
    "allocator_limited",
    "allocator_option",
    "empty_cache",
    "tensors_before",
    "use_expandable_segments",
]


_EXPANDABLE = "expandable segments"


def allocator_option() -> str:
    """The option of torch's allocator in a run: the user's, or expandable segments."""
    for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
        if os.environ.get(name):
            return f"{name}={os.environ[name]}"
    if sys.platform != "linux" or torch_build().hip:
        return "torch's default"
    return _EXPANDABLE


def use_expandable_segments() -> None:
    """Let torch's allocator grow its segments, unless the user has set its options.

    Otherwise fragmentation can waste a tenth of the reserved memory.
    """
    import torch

    if allocator_option() == _EXPANDABLE:
        torch._C._accelerator_setAllocatorSettings("expandable_segments:True")


@contextmanager
def allocator_limited(machine: Machine, limit: int | None) -> Iterator[None]:
    """Limit torch's allocator to `limit` bytes of each GPU, its CUDA context included."""
    import torch

    gpus = [g.index for g in machine.gpus] if machine.device == "cuda" and limit is not None else []
    # Some allocators report "no limit" as a fraction of hundreds of millions.
    before = [min(torch.cuda.get_per_process_memory_fraction(i), 1.0) for i in gpus]
    try:
        for i, share in zip(gpus, before, strict=True):
            total = torch.cuda.get_device_properties(i).total_memory
            allowed = max((limit or 0) - context_bytes(), 0) / total
            torch.cuda.set_per_process_memory_fraction(min(allowed, share), i)
        yield
    finally:
        for i, share in zip(gpus, before, strict=True):
            torch.cuda.set_per_process_memory_fraction(share, i)


class Peaks:
    """Peaks of torch's allocator on each of a machine's GPUs, by phase, and of host memory.

    In bytes. All dictionaries are empty on a machine without CUDA.
    """

    def __init__(self, machine: Machine) -> None:
        self.allocated: dict[int, int] = {}
        """Per GPU, the peak of tensors (``torch.cuda.max_memory_allocated``)."""
        self.reserved: dict[int, int] = {}
        """Per GPU, the peak that the allocator reserved, caching included."""
        self.phases: dict[str, int] = {}
        """Per phase, the peak of tensors on any one GPU."""
        self.ram = 0
        """The most private host memory of this process at the end of any phase."""
        self._gpus = [g.index for g in machine.gpus] if machine.device == "cuda" else []
        if self._gpus:
            import torch

            # The counters need CUDA, which the run is about to start anyway.
            torch.cuda.init()  # type: ignore[no-untyped-call]
        self._reset()

    def close(self, phase: str) -> None:
        """Record the peaks of a phase that has ended, and reset the counters."""
        import torch

        self.ram = max(self.ram, own_ram())
        for i in self._gpus:
            peak = torch.cuda.max_memory_allocated(i)
            self.allocated[i] = max(self.allocated.get(i, 0), peak)
            self.reserved[i] = max(self.reserved.get(i, 0), torch.cuda.max_memory_reserved(i))
            self.phases[phase] = max(self.phases.get(phase, 0), peak)
        self._reset()

    def _reset(self) -> None:
        import torch

        for i in self._gpus:
            torch.cuda.reset_peak_memory_stats(i)


def allocated() -> int | None:
    """Bytes of this process's tensors on all CUDA devices; None before CUDA is initialised."""
    torch = imported_torch()
    if torch is None or not torch.cuda.is_initialized():
        return None
    return sum(int(torch.cuda.memory_allocated(i)) for i in range(torch.cuda.device_count()))


def tensors_before(machine: Machine) -> dict[int, int]:
    """Per GPU, bytes of this process's tensors: allocated when `machine` was read, and still."""
    import torch

    return {
        g.index: min(g.allocated, torch.cuda.memory_allocated(g.index))
        for g in machine.gpus
        if g.allocated
    }


def empty_cache(*, collect: bool = True) -> None:
    """Return freed device memory to the driver, and freed host memory to the system.

    Args:
        collect: whether unreferenced objects are freed first: a third of a second.
    """
    if collect:
        gc.collect()
    trim()
    torch = imported_torch()
    if torch is None:
        return
    if torch.cuda.is_initialized():
        # cuBLAS keeps 32 MiB per stream on recent GPUs until torch is asked to release them.
        torch._C._cuda_clearCublasWorkspaces()
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()
