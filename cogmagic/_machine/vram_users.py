"""Users of VRAM: other processes, as far as NVML reports them, and variables of this kernel."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cogmagic._errors import plain_line
from cogmagic._machine.gpu import Gpu
from cogmagic._units import gib

__all__ = ["VramUser", "other_processes", "variables", "vram_users", "vram_users_line"]


_DEPTH = 4
"""Levels of nested containers that are searched for tensors."""


@dataclass(frozen=True)
class VramUser:
    """A process or variable that uses memory of a GPU."""

    name: str
    nbytes: int | None
    """None where the driver does not report it, as under Windows and in MIG."""

    def __str__(self) -> str:
        return f"{self.name} ({gib(self.nbytes)})"


def vram_users(gpus: tuple[Gpu, ...], names: Mapping[str, Any] | None = None) -> list[VramUser]:
    """Processes and variables that use memory of any of the GPUs, the largest first.

    Args:
        gpus: the machine's.
        names: the user's variables; default those of ``__main__``, as in a notebook.
    """
    if not gpus:
        return []
    users = variables(vars(sys.modules["__main__"]) if names is None else names)
    users += [user for gpu in gpus for user in other_processes(gpu)]
    return sorted(users, key=lambda u: -(u.nbytes or 0))


def vram_users_line(users: list[VramUser], most: int = 5) -> str:
    """The first users in one line; empty without any."""
    if not users:
        return ""
    rest = f" and {len(users) - most} more" if len(users) > most else ""
    return f"VRAM is still in use by {', '.join(map(str, users[:most]))}{rest}."


def variables(names: Mapping[str, Any], device: str = "cuda") -> list[VramUser]:
    """Variables with tensors on a device of a type, with their bytes.

    A tensor that two variables share counts for the first.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return []
    seen: set[int] = set()
    users = []
    for name, value in list(names.items()):
        if name.startswith("__") or name in {"In", "Out", "_oh", "_"}:
            continue  # their values have names of their own: _12
        nbytes = 0
        for tensor in _tensors(value, torch, _DEPTH):
            storage = tensor.untyped_storage()
            if tensor.device.type == device and storage._cdata not in seen:
                seen.add(storage._cdata)
                nbytes += storage.nbytes()
        if nbytes:
            shown = f"Out[{name[1:]}]" if name[:1] == "_" and name[1:].isdigit() else name
            users.append(VramUser(f"your variable {shown}", nbytes))
    return users


def _tensors(value: Any, torch: Any, depth: int) -> Iterator[Any]:
    """The tensors of a value: itself, or of a module, a pipeline, an optimizer or a container."""
    if isinstance(value, torch.Tensor):
        yield value
        if value.grad is not None:
            yield value.grad
    elif isinstance(value, torch.nn.Module):
        for tensor in (*value.parameters(), *value.buffers()):
            yield from _tensors(tensor, torch, 0)
    elif depth == 0 or isinstance(value, str | bytes | type):
        return
    elif isinstance(value, torch.optim.Optimizer):
        yield from _tensors(dict(value.state), torch, depth)
    elif isinstance(value, dict):
        for part in list(value.values()):
            yield from _tensors(part, torch, depth - 1)
    elif isinstance(value, list | tuple | set | frozenset):
        for part in list(value):
            yield from _tensors(part, torch, depth - 1)
    elif isinstance(components := getattr(value, "components", None), dict):
        yield from _tensors(components, torch, depth - 1)


def other_processes(gpu: Gpu) -> list[VramUser]:
    """The other processes on a GPU that NVML reports; in a container it may report none."""
    from cogmagic._machine.nvml import gpu_processes

    return [
        VramUser(_name(pid), nbytes) for pid, nbytes in gpu_processes(gpu) if pid != os.getpid()
    ]


def _name(pid: int) -> str:
    """The name of a process for people: its notebook, or its program."""
    import psutil

    try:
        process = psutil.Process(pid)
        name, command = process.name(), process.cmdline()
    except psutil.Error:  # another user's, another container's, or gone
        return f"process {pid}"
    if any("ipykernel" in word for word in command):
        try:
            notebook = process.environ().get("JPY_SESSION_NAME", "")
        except psutil.Error:
            notebook = ""
        where = f" of {plain_line(Path(notebook).name)}" if notebook else ""
        return f"the kernel{where}, process {pid}"
    return f"{plain_line(name)}, process {pid}"
