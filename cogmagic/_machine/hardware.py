"""GPUs and host memory as they are now, read without creating a CUDA context or importing torch.

Readings come from NVML for NVIDIA, from sysfs for AMD, from the control group for containers.
What cannot be known is None.
"""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass, replace
from typing import Any, Literal

from cogmagic._machine.gpu import Gpu
from cogmagic._machine.imported_torch import imported_torch
from cogmagic._machine.metal import metal_limit
from cogmagic._machine.nvml import nvidia_gpus, visible_note
from cogmagic._machine.process_limits import cuda_addresses
from cogmagic._machine.ram import Ram, host_ram
from cogmagic._machine.rocm import amd_gpus, hidden_note
from cogmagic._machine.torch_build import cpu_only_note, torch_build

__all__ = ["DeviceType", "read_hardware"]


DeviceType = Literal["cuda", "mps", "cpu"]


@dataclass(frozen=True)
class Hardware:
    """The GPUs that the installed torch can use, and host memory."""

    gpus: tuple[Gpu, ...]
    ram: Ram
    device: DeviceType
    note: str | None = None
    """One line about GPUs that are present but unusable, with what to type."""
    metal: int | None = None
    """The most that Metal recommends to use, in bytes; None where it is not known."""


def read_hardware() -> Hardware:
    """This machine's GPUs and host memory, now."""
    gpus, device, note = _devices()
    ram = host_ram(cuda_addresses(gpus))
    gpus = tuple(g.sharing(ram.total, ram.available) for g in gpus)
    return Hardware(gpus, ram, device, note, metal_limit() if device == "mps" else None)


def _devices() -> tuple[tuple[Gpu, ...], DeviceType, str | None]:
    """The GPUs, the type of the device that computes, and a note about unusable GPUs."""
    build = torch_build()
    if build.hip:
        gpus = _with_torch_counters(amd_gpus())
        return (gpus, "cuda", None) if gpus else ((), "cpu", hidden_note())
    gpus = nvidia_gpus()
    if gpus and build.cuda is None:
        return (), "cpu", cpu_only_note(gpus, build)
    gpus = _with_torch_counters(gpus)
    if gpus:
        return gpus, "cuda", None
    mps = sys.platform == "darwin" and platform.machine() == "arm64"
    return (), "mps" if mps else "cpu", visible_note()


def _with_torch_counters(gpus: tuple[Gpu, ...]) -> tuple[Gpu, ...]:
    """Add this kernel's share from torch's host-side counters, where it has a CUDA context."""
    torch = imported_torch()
    if torch is None or not torch.cuda.is_initialized():
        return gpus
    count = torch.cuda.device_count()
    has_context = getattr(torch._C, "_cuda_hasPrimaryContext", lambda _: True)  # not in every build
    return tuple(
        _with_counters(gpu, torch)
        if gpu.index < count and has_context(gpu.index)  # without one, no memory is this kernel's
        else gpu
        for gpu in gpus
    )


def _with_counters(gpu: Gpu, torch: Any) -> Gpu:
    free = gpu.free
    if free is None and not gpu.unified:
        free = int(torch.cuda.mem_get_info(gpu.index)[0])
    # Of `memory_reserved` and `memory_allocated`, each would sort some hundred counters.
    counters = torch.cuda.memory_stats_as_nested_dict(gpu.index)
    reserved, allocated = (
        int(counters.get(kind, {}).get("all", {}).get("current", 0))
        for kind in ("reserved_bytes", "allocated_bytes")
    )
    return replace(
        gpu,
        free=free,
        reserved=reserved,
        allocated=allocated,
        allowed=None if gpu.allowed is None else gpu.allowed + reserved,
    )
