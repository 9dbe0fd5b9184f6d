"""The attention kernel of a run: its comparison before the download, its version in the report."""

from __future__ import annotations

from cogmagic._machine.kernels import MODULES, package_version
from cogmagic._machine.machine import Machine
from cogmagic._machine.torch_check import checked_by_torch
from cogmagic._models.request import Request
from cogmagic._pipeline.attention.check import with_comparisons
from cogmagic._pipeline.attention.registry import asked_kernel
from cogmagic._planning.dtype import dtype_for
from cogmagic._planning.memory_options import MemoryOptions
from cogmagic._planning.speeds import SPEEDS

__all__ = ["compare_kernels", "kernel_version"]


def compare_kernels(request: Request, options: MemoryOptions, machine: Machine) -> None:
    """Compare the kernel with torch's on this GPU, unless it has been; plans then know the result.

    Args:
        request: what to generate.
        options: what the person chose about memory and speed.
        machine: as detected.

    Raises:
        RequestError: when the kernel that ``--attention`` names fails, or differs too much.
    """
    if not options.attention and not SPEEDS[options.speed].attention:
        return
    machine = checked_by_torch(machine)
    dtype, head_dim = dtype_for(request, machine), request.model.architecture.attention_head_dim
    machine = with_comparisons(machine, options.attention, dtype, head_dim)
    if options.attention:
        asked_kernel(options.attention, machine, dtype, head_dim)


def kernel_version(kernel: str) -> dict[str, str]:
    """The version of a kernel's package by its name, for reports; empty for torch's own."""
    if not kernel:
        return {}
    _, package = MODULES[kernel]
    return {package: package_version(package)}
