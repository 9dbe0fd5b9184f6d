"""The check of NVML's GPUs against the installed torch, by torch's CUDA runtime."""

from __future__ import annotations

from dataclasses import replace

from cogmagic._machine.compiler import compiler_problem
from cogmagic._machine.machine import Machine
from cogmagic._machine.torch_build import INSTALL, built_for

__all__ = ["checked_by_torch"]


def checked_by_torch(machine: Machine) -> Machine:
    """`machine` with the GPUs that torch can use, or its CPU alone with a note why.

    Imports torch and asks its CUDA runtime, so only a run does this; still no context is created.
    """
    import torch

    if machine.device == "mps" and not torch.backends.mps.is_available():
        return replace(machine, device="cpu", compiler=compiler_problem("cpu"))
    if machine.device != "cuda":
        return machine
    name, version = machine.gpus[0].name, torch.__version__
    if not torch.cuda.is_available():
        note = (
            f"{name} found, but torch {version} cannot start CUDA: the driver is too old for it."
            f" Update the driver, or: {INSTALL}cu126, then restart the kernel. Using the CPU."
        )
        return _cpu(machine, note)
    architectures, count = torch.cuda.get_arch_list(), torch.cuda.device_count()
    usable = tuple(
        g for g in machine.gpus if g.index < count and built_for(g.capability, architectures)
    )
    if usable:
        return replace(machine, gpus=usable)
    note = (
        f"{name} is not among the architectures of torch {version} ({', '.join(architectures)})."
        f" For older GPUs: {INSTALL}cu126, then restart the kernel. Using the CPU."
    )
    return _cpu(machine, note)


def _cpu(machine: Machine, note: str) -> Machine:
    """The CPU of `machine` alone, which needs another compiler than its GPU."""
    return Machine((), machine.ram, "cpu", note, compiler=compiler_problem("cpu"))
