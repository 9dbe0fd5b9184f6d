"""The kernels of a run: tried and compared before the download, versions for the report."""

from __future__ import annotations

from dataclasses import replace

from cogmagic._machine.decoding_kernels import decoding_trials
from cogmagic._machine.kernels import MODULES, package_version
from cogmagic._machine.machine import Machine
from cogmagic._machine.torch_check import checked_by_torch
from cogmagic._models.request import Request
from cogmagic._pipeline.attention.check import with_comparisons
from cogmagic._pipeline.attention.registry import asked_kernel
from cogmagic._pipeline.decoding.fast import tried_kernels
from cogmagic._planning.dtype import dtype_for
from cogmagic._planning.memory_options import MemoryOptions
from cogmagic._planning.resolved import resolved
from cogmagic._planning.speeds import SPEEDS

__all__ = ["compare_kernels", "kernel_version", "with_decoding_tried"]


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


def with_decoding_tried(request: Request, options: MemoryOptions, machine: Machine) -> Machine:
    """`machine` with the trial of fast decoding's kernels, made now unless this process has it.

    Plans then leave fast decoding out where they do not run, so that its memory is not counted on.

    Args:
        request: what to generate.
        options: what the person chose about memory and speed.
        machine: as a run may use it, checked by torch.
    """
    from cogmagic._machine.allocator import empty_cache, use_expandable_segments

    machine = replace(machine, trials=tuple(t for t in machine.trials if t.lasts))
    dtype, gpu = dtype_for(request, machine), machine.roomiest
    if gpu and resolved(request.model, options, machine, dtype).speedups.decode:
        use_expandable_segments()  # before the first tensor on the GPU
        tried_kernels(gpu.index, dtype)
        empty_cache(collect=False)  # of what a trial made now has freed
    return replace(machine, trials=decoding_trials())


def kernel_version(kernel: str) -> dict[str, str]:
    """The version of a kernel's package by its name, for reports; empty for torch's own."""
    if not kernel:
        return {}
    _, package = MODULES[kernel]
    return {package: package_version(package)}
