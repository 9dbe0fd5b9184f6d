"""NVIDIA GPUs through NVML, in the order and visibility in which torch numbers them.

NVML lists every GPU of the machine in PCI order and ignores ``CUDA_VISIBLE_DEVICES``; torch numbers
the GPUs that the CUDA driver makes visible. The two are joined by UUID. The driver is asked in a
short-lived process, because initialising it here would fix ``CUDA_VISIBLE_DEVICES`` and break
forks.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cogmagic._machine.gpu import Gpu

__all__ = ["driver_version", "gpu_processes", "nvidia_gpus", "visible_note", "vitals"]


# Prints the UUID of each device that the CUDA driver makes visible (MIG instances included).
_UUID_SCRIPT = """
import ctypes, sys
cuda = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
count, uuid = ctypes.c_int(), (ctypes.c_ubyte * 16)()
if cuda.cuInit(0) == 0 and cuda.cuDeviceGetCount(ctypes.byref(count)) == 0:
    ask = getattr(cuda, "cuDeviceGetUuid_v2", cuda.cuDeviceGetUuid)
    for i in range(count.value):
        device = ctypes.c_int()
        if cuda.cuDeviceGet(ctypes.byref(device), i) == 0 and ask(uuid, device) == 0:
            print(bytes(uuid).hex())
"""


def nvidia_gpus() -> tuple[Gpu, ...]:
    """The NVIDIA GPUs that torch would see, with their memory as NVML reports it now."""
    nvml = _nvml()
    if nvml is None:
        return ()
    gpus = []
    for index, uuid in enumerate(_visible_uuids()):
        device = _device(nvml, uuid)
        if device is not None:
            gpus.append(_read(nvml, device, index))
    return tuple(gpus)


def driver_version() -> str:
    """The version of NVIDIA's driver, as ``580.95.05``; empty without one."""
    nvml = _nvml()
    version = _ask(nvml.nvmlSystemGetDriverVersion) if nvml is not None else None
    return version.decode() if isinstance(version, bytes) else version or ""


def visible_note() -> str | None:
    """Why no GPU is visible although the machine has some, or None."""
    nvml = _nvml()
    count = _ask(nvml.nvmlDeviceGetCount) if nvml is not None else None
    if not count:
        return None
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None:
        return f"{count} NVIDIA GPU(s) hidden by CUDA_VISIBLE_DEVICES={hidden!r}; using the CPU."
    return (
        f"{count} NVIDIA GPU(s) seen, but the CUDA driver does not start; using the CPU. Run"
        " nvidia-smi for the reason, then restart the kernel."
    )


def gpu_processes(gpu: Gpu) -> list[tuple[int, int | None]]:
    """Process id and bytes of each process that uses memory of a GPU, as far as NVML reports it."""
    nvml = _nvml()
    if nvml is None or gpu.uuid is None:
        return []
    device = _device(nvml, gpu.uuid)
    if device is None:
        return []
    processes = _ask(nvml.nvmlDeviceGetComputeRunningProcesses, device.handle) or []
    return [(int(p.pid), int(p.usedGpuMemory) if p.usedGpuMemory else None) for p in processes]


def vitals(gpu: Gpu) -> tuple[int | None, float | None]:
    """Temperature (°C) and power (W) of a GPU; None where NVML does not report them."""
    nvml = _nvml()
    if nvml is None or gpu.uuid is None:
        return None, None
    device = _device(nvml, gpu.uuid)
    if device is None:
        return None, None
    degrees = _ask(nvml.nvmlDeviceGetTemperature, device.handle, nvml.NVML_TEMPERATURE_GPU)
    milliwatts = _ask(nvml.nvmlDeviceGetPowerUsage, device.handle)
    return degrees, milliwatts / 1000 if milliwatts is not None else None


@lru_cache(maxsize=1)
def _nvml() -> Any:
    """The NVML binding, initialised once and never shut down, or None."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def _visible_uuids() -> tuple[str, ...]:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        count = torch.cuda.device_count()
        return tuple(
            str(torch.cuda.get_device_properties(i).uuid).replace("-", "") for i in range(count)
        )
    return _driver_uuids(
        os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("CUDA_DEVICE_ORDER")
    )


_uuids_cached: dict[tuple[str | None, str | None], tuple[str, ...]] = {}


def _driver_uuids(visible: str | None, order: str | None) -> tuple[str, ...]:
    """UUIDs (hex) of the driver's devices in its order, cached per environment unless empty."""
    key = visible, order  # the child inherits them
    if key not in _uuids_cached:
        uuids = _ask_driver()
        if not uuids:  # perhaps for the moment only
            return ()
        _uuids_cached[key] = uuids
    return _uuids_cached[key]


def _ask_driver() -> tuple[str, ...]:
    try:
        finished = subprocess.run(  # noqa: S603 - our own script, our own interpreter
            [sys.executable, "-I", "-c", _UUID_SCRIPT],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(finished.stdout.split())


@dataclass(frozen=True)
class _Device:
    """The constant facts of a device, cached: a call takes a millisecond in some containers."""

    handle: Any
    uuid: str
    name: str
    capability: tuple[int, int] | None


_devices_cached: dict[tuple[Any, str], _Device] = {}


def _device(nvml: Any, uuid: str) -> _Device | None:
    """The device of a UUID, a whole GPU or a MIG instance; cached."""
    plain = uuid.removeprefix("GPU-").removeprefix("MIG-").replace("-", "")
    key = nvml, plain
    if key not in _devices_cached:
        device = _ask_device(nvml, plain)
        if device is None:
            return None
        _devices_cached[key] = device
    return _devices_cached[key]


def _ask_device(nvml: Any, uuid: str) -> _Device | None:
    dashed = "-".join((uuid[:8], uuid[8:12], uuid[12:16], uuid[16:20], uuid[20:]))
    for full in ("GPU-" + dashed, "MIG-" + dashed):
        handle = _ask(nvml.nvmlDeviceGetHandleByUUID, full.encode())
        if handle is not None:
            break
    else:
        return None
    parent = (
        _ask(nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle, handle)
        if full.startswith("MIG-")
        else None
    )
    name = _ask(nvml.nvmlDeviceGetName, handle) or "NVIDIA GPU"
    capability = _ask(nvml.nvmlDeviceGetCudaComputeCapability, parent or handle)
    return _Device(
        handle,
        full,
        name.decode() if isinstance(name, bytes) else name,
        (int(capability[0]), int(capability[1])) if capability else None,
    )


def _read(nvml: Any, device: _Device, index: int) -> Gpu:
    # Version 2 excludes the driver's own reserve from "used"; some drivers (WSL) lack it.
    memory = _ask(
        nvml.nvmlDeviceGetMemoryInfo, device.handle, getattr(nvml, "nvmlMemory_v2", 2)
    ) or _ask(nvml.nvmlDeviceGetMemoryInfo, device.handle)
    if memory is None:  # perhaps the GPU is lost: look it up again next time
        _devices_cached.clear()
    return Gpu(
        index=index,
        name=device.name,
        uuid=device.uuid,
        total=int(memory.total) if memory else None,
        free=int(memory.free) if memory else None,
        capability=device.capability,
        source="nvml",
    )


def _ask(call: Any, *args: Any) -> Any:
    """The result of an NVML call; None where this device or driver does not support it."""
    nvml = _nvml()
    try:
        return call(*args)
    except nvml.NVMLError:
        return None
