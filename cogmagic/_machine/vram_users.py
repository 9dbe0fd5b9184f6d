"""Who holds VRAM: other processes, as far as NVML tells, and the variables of this kernel."""

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


_DEEP = 4
"""Containers within containers that are looked into."""


@dataclass(frozen=True)
class VramUser:
    """Someone who holds memory of a GPU."""

    name: str
    nbytes: int | None
    """None where the driver does not tell, as under Windows and in MIG."""

    def __str__(self) -> str:
        return f"{self.name} ({gib(self.nbytes)})"


def vram_users(gpus: tuple[Gpu, ...], names: Mapping[str, Any] | None = None) -> list[VramUser]:
    """Those who hold memory of any of the GPUs, the largest first.

    Args:
        gpus: the machine's.
        names: the user's variables; default those of ``__main__``, which a notebook's are.
    """
    if not gpus:
        return []
    found = variables(vars(sys.modules["__main__"]) if names is None else names)
    found += [holder for gpu in gpus for holder in other_processes(gpu)]
    return sorted(found, key=lambda h: -(h.nbytes or 0))


def vram_users_line(found: list[VramUser], most: int = 5) -> str:
    """Those users in a line; empty where there are none."""
    if not found:
        return ""
    rest = f" and {len(found) - most} more" if len(found) > most else ""
    return f"VRAM is still held by {', '.join(map(str, found[:most]))}{rest}."


def variables(names: Mapping[str, Any], device: str = "cuda") -> list[VramUser]:
    """The variables that hold tensors on a device of that type, and how many bytes of them.

    What two variables share is counted for the first.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return []
    seen: set[int] = set()
    found = []
    for name, value in list(names.items()):
        if name.startswith("__") or name in {"In", "Out", "_oh", "_"}:
            continue  # what these hold has a name of its own: _12
        nbytes = 0
        for tensor in _tensors(value, torch, _DEEP):
            storage = tensor.untyped_storage()
            if tensor.device.type == device and storage._cdata not in seen:
                seen.add(storage._cdata)
                nbytes += storage.nbytes()
        if nbytes:
            shown = f"Out[{name[1:]}]" if name[:1] == "_" and name[1:].isdigit() else name
            found.append(VramUser(f"your variable {shown}", nbytes))
    return found


def _tensors(value: Any, torch: Any, deep: int) -> Iterator[Any]:
    """The tensors of a variable: itself, a module's, a pipeline's, a container's."""
    if isinstance(value, torch.Tensor):
        yield value
        if value.grad is not None:
            yield value.grad
    elif isinstance(value, torch.nn.Module):
        for tensor in (*value.parameters(), *value.buffers()):
            yield from _tensors(tensor, torch, 0)
    elif deep == 0 or isinstance(value, str | bytes | type):
        return
    elif isinstance(value, torch.optim.Optimizer):
        yield from _tensors(dict(value.state), torch, deep)
    elif isinstance(value, dict):
        for part in list(value.values()):
            yield from _tensors(part, torch, deep - 1)
    elif isinstance(value, list | tuple | set | frozenset):
        for part in list(value):
            yield from _tensors(part, torch, deep - 1)
    elif isinstance(components := getattr(value, "components", None), dict):
        yield from _tensors(components, torch, deep - 1)


def other_processes(gpu: Gpu) -> list[VramUser]:
    """The other processes that NVML sees on a GPU; in a container it may see none."""
    from cogmagic._machine.nvml import gpu_processes

    return [
        VramUser(_name(pid), nbytes) for pid, nbytes in gpu_processes(gpu) if pid != os.getpid()
    ]


def _name(pid: int) -> str:
    """What a process is to people: its notebook, or its program."""
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
