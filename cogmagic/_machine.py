"""The machine as a value: GPUs and host memory, read without touching CUDA.

Readings come from NVML for NVIDIA, from sysfs for AMD, from the control group for containers.
What cannot be known is None.
"""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

__all__ = ["GIB", "Gpu", "Machine", "Ram", "TorchBuild"]

GIB = 2**30

DeviceType = Literal["cuda", "mps", "cpu"]


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
    """What torch's allocator holds in this kernel; None while CUDA is not initialised."""
    allocated: int | None = None
    """The part of `reserved` that tensors use."""
    capability: tuple[int, int] | None = None
    source: Literal["nvml", "sysfs", "described"] = "described"

    @property
    def available(self) -> int | None:
        """What a run could use: free, and what this kernel has cached but not in use."""
        if self.free is None:
            return None
        return self.free + (self.reserved or 0) - (self.allocated or 0)

    @property
    def others(self) -> int | None:
        """An estimate of what others use: all that is neither free nor this kernel's.

        The driver's own share and this kernel's CUDA context are in it, since neither is told.
        """
        if self.total is None or self.free is None:
            return None
        return max(self.total - self.free - (self.reserved or 0), 0)


@dataclass(frozen=True)
class Ram:
    """Host memory in bytes: what this process may have at most, and what is left of it."""

    total: int | None = None
    available: int | None = None
    source: str = "described"


@dataclass(frozen=True)
class TorchBuild:
    """What the installed torch was built for, read without importing it."""

    version: str | None = None
    cuda: str | None = None
    hip: str | None = None


@dataclass(frozen=True)
class Machine:
    """All that a plan knows of the world."""

    gpus: tuple[Gpu, ...] = ()
    ram: Ram = Ram()
    device: DeviceType = "cpu"
    note: str | None = None
    """One line about a GPU that is there but cannot be used, with what to type."""

    @classmethod
    def detect(cls) -> Machine:
        """Read this machine, now. Creates no CUDA context and imports no torch."""
        build = torch_build()
        ram = host_ram()
        if build.hip:
            from cogmagic._rocm import amd_gpus

            gpus = with_torch_counters(amd_gpus())
            return cls(gpus, ram, "cuda" if gpus else "cpu")
        from cogmagic._nvml import nvidia_gpus, visible_note

        found = nvidia_gpus()
        if found and build.cuda is None:
            return cls((), ram, "cpu", cpu_only_note(found, build))
        gpus = with_torch_counters(found)
        if gpus:
            return cls(gpus, ram, "cuda")
        mps = sys.platform == "darwin" and platform.machine() == "arm64"
        return cls((), ram, "mps" if mps else "cpu", visible_note())


def with_torch_counters(gpus: tuple[Gpu, ...]) -> tuple[Gpu, ...]:
    """Add this kernel's share from torch's host-side counters, if CUDA is already initialised."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return gpus
    count = torch.cuda.device_count()
    return tuple(
        replace(
            gpu,
            reserved=torch.cuda.memory_reserved(gpu.index),
            allocated=torch.cuda.memory_allocated(gpu.index),
        )
        if gpu.index < count
        else gpu
        for gpu in gpus
    )


def torch_build() -> TorchBuild:
    """The installed torch's version and back end, from its ``version.py``."""
    from importlib.util import find_spec

    try:
        spec = find_spec("torch")
    except (ImportError, ValueError):
        return TorchBuild()
    if spec is None or spec.origin is None:
        return TorchBuild()
    facts: dict[str, str | None] = {}
    try:
        source = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return TorchBuild()
    for line in source.splitlines():  # lines such as: cuda: Optional[str] = '12.8'
        name, equals, value = line.partition("=")
        key = name.split(":")[0].strip()
        if equals and key in {"__version__", "cuda", "hip"}:
            text = value.strip().strip("'\"")
            facts[key] = None if text == "None" else text
    return TorchBuild(facts.get("__version__"), facts.get("cuda"), facts.get("hip"))


_INSTALL = "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/"


def cpu_only_note(gpus: tuple[Gpu, ...], build: TorchBuild) -> str:
    """The line for an NVIDIA GPU beside a torch that was built without CUDA."""
    return (
        f"{gpus[0].name} found, but torch {build.version or '(none)'} was built without CUDA; using"
        f" the CPU. To use the GPU: {_INSTALL}cu130, then restart the kernel."
    )


def checked_by_torch(machine: Machine) -> Machine:
    """`machine`, or its CPU alone with a note where this torch cannot use what NVML sees.

    Imports torch and asks its CUDA runtime, so only a run does this; still no context is created.
    """
    import torch

    if machine.device == "mps" and not torch.backends.mps.is_available():
        return replace(machine, device="cpu")
    if machine.device != "cuda":
        return machine
    name, version = machine.gpus[0].name, torch.__version__
    if not torch.cuda.is_available():
        note = (
            f"{name} found, but torch {version} cannot start CUDA: the driver is too old for it."
            f" Update the driver, or: {_INSTALL}cu126, then restart the kernel. Using the CPU."
        )
        return Machine((), machine.ram, "cpu", note)
    usable = tuple(g for g in machine.gpus if built_for(g.capability, torch.cuda.get_arch_list()))
    if usable:
        return replace(machine, gpus=usable)
    note = (
        f"{name} is not among the architectures of torch {version}"
        f" ({', '.join(torch.cuda.get_arch_list())}). For older GPUs: {_INSTALL}cu126, then restart"
        " the kernel. Using the CPU."
    )
    return Machine((), machine.ram, "cpu", note)


def built_for(capability: tuple[int, int] | None, architectures: list[str]) -> bool:
    """Whether code for one of `architectures` (``sm_90``, ``compute_90``) runs on `capability`.

    Machine code runs on the same major version from its minor version up; PTX on anything newer
    (CUDA C++ Programming Guide, "Application Compatibility").
    """
    if capability is None:  # not told, as under ROCm: torch saw the device, so let it try
        return True
    for architecture in architectures:
        kind, _, digits = architecture.partition("_")
        number = "".join(c for c in digits if c.isdigit())
        if not number:  # ROCm's names (gfx90a): torch has checked them itself
            return True
        built = (int(number[:-1]), int(number[-1]))
        if built <= capability and (kind == "compute" or built[0] == capability[0]):
            return True
    return False


def host_ram() -> Ram:
    """Host memory: the container's limit where there is one, else the machine's."""
    import psutil

    memory = psutil.virtual_memory()
    total, available = int(memory.total), int(memory.available)
    limit = cgroup_memory(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))
    if limit is None or limit[0] >= total:
        return Ram(total, available, "machine")
    maximum, used = limit
    return Ram(maximum, min(available, max(maximum - used, 0)), "container")


def cgroup_memory(root: Path, membership: Path) -> tuple[int, int] | None:
    """The tightest (limit, used) in bytes of this process's control groups, or None.

    Handles version 2 (``memory.max``) and version 1 (``memory.limit_in_bytes``); a limit may be
    set on any ancestor. Page cache that the kernel can drop is not counted as used.
    """
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    tightest: tuple[int, int] | None = None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, limit_name, used_name = root, "memory.max", "memory.current"
            inactive = "inactive_file"
        elif "memory" in controllers.split(","):
            base, limit_name, used_name = (
                root / "memory",
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
            )
            inactive = "total_inactive_file"
        else:
            continue
        # Inside a container the path of the host's hierarchy is not mounted: the root then holds
        # the container's own files, so it is always looked at last.
        folder = base / path.lstrip("/")
        for group in (folder, *folder.parents):
            limit, used = _number(group / limit_name), _number(group / used_name)
            if limit is not None and used is not None:
                used -= _stat(group / "memory.stat", inactive)
                if tightest is None or limit - used < tightest[0] - tightest[1]:
                    tightest = (limit, max(used, 0))
            if group == base:
                break
    return tightest


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # absent, or "max"
        return None


def _stat(path: Path, key: str) -> int:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return 0
    return next((int(v) for k, v in (x.split() for x in text.splitlines()) if k == key), 0)
