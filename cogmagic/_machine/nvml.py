"""NVIDIA GPUs through NVML, in the order and visibility in which torch numbers them.

NVML lists every GPU of the machine in PCI order and ignores ``CUDA_VISIBLE_DEVICES``; torch numbers
the GPUs that the CUDA driver makes visible. The two are joined by UUID. Integrated GPUs (GB10,
Jetson) share the host's memory; NVML may give no figure for it, or be missing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from cogmagic._machine.cards.names import card_for
from cogmagic._machine.cards.table import Card
from cogmagic._machine.cuda_driver import DriverDevice, driver_devices, torch_devices
from cogmagic._machine.gpu import Gpu
from cogmagic._machine.imported_torch import imported_torch

__all__ = ["ask", "driver_version", "gpu_processes", "nvidia_gpus", "visible_note", "vitals"]


_TEGRA = Path("/dev/nvmap")
"""The memory device of Jetson boards, whose older systems have no NVML."""


def nvidia_gpus() -> tuple[Gpu, ...]:
    """The NVIDIA GPUs that torch would see, with their memory as NVML reports it now."""
    nvml = _nvml()
    if nvml is None and not _TEGRA.exists():
        return ()
    gpus = []
    for index, uuid in enumerate(_visible_uuids()):
        device = _device(nvml, uuid) if nvml is not None else None
        reported = _reported.get(uuid)
        if device is not None:
            gpus.append(_read(nvml, device, index, reported))
        elif reported is not None and reported.unified:
            gpus.append(_of_driver(reported, index))
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
    processes = ask("nvmlDeviceGetComputeRunningProcesses", gpu) or []
    return [(int(p.pid), int(p.usedGpuMemory) if p.usedGpuMemory else None) for p in processes]


def vitals(gpu: Gpu) -> tuple[int | None, float | None, int | None]:
    """Temperature (°C), power (W) and utilisation (%) of a GPU; None where NVML has none."""
    degrees = ask("nvmlDeviceGetTemperature", gpu, args=(0,))  # NVML_TEMPERATURE_GPU
    milliwatts = ask("nvmlDeviceGetPowerUsage", gpu)
    use = ask("nvmlDeviceGetUtilizationRates", gpu)
    watts = None if milliwatts is None else milliwatts / 1000
    return degrees, watts, None if use is None else use.gpu


def ask(call: str, *gpus: Gpu, args: tuple[int, ...] = ()) -> Any:
    """The answer of an NVML call about GPUs; None where it, or one of them, is not known.

    Args:
        call: its name.
        *gpus: whose handles it takes first.
        args: what it takes after them.
    """
    nvml = _nvml()
    if nvml is None or not hasattr(nvml, call):
        return None
    devices = [_device(nvml, gpu.uuid) if gpu.uuid else None for gpu in gpus]
    handles = [device.handle for device in devices if device is not None]
    return _ask(getattr(nvml, call), *handles, *args) if len(handles) == len(gpus) else None


@lru_cache(maxsize=1)
def _nvml() -> Any:
    """The NVML binding, initialised once and never shut down, or None."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


_reported: dict[str, DriverDevice] = {}
"""What the driver or torch has reported of each device, by UUID."""


def _visible_uuids() -> tuple[str, ...]:
    torch = imported_torch()
    if torch is not None and torch.cuda.is_initialized():
        devices = torch_devices(torch)
        _reported.update({d.uuid: d for d in devices})
        return tuple(d.uuid for d in devices)
    return _driver_uuids(
        os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("CUDA_DEVICE_ORDER")
    )


_uuids_cached: dict[tuple[str | None, str | None], tuple[str, ...]] = {}


def _driver_uuids(visible: str | None, order: str | None) -> tuple[str, ...]:
    """UUIDs (hex) of the driver's devices in its order, cached per environment unless empty."""
    key = visible, order  # the child inherits them
    if key not in _uuids_cached:
        devices = driver_devices(key)
        _reported.update({d.uuid: d for d in devices})
        if not devices:  # perhaps for the moment only
            return ()
        _uuids_cached[key] = tuple(d.uuid for d in devices)
    return _uuids_cached[key]


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


def _read(nvml: Any, device: _Device, index: int, reported: DriverDevice | None) -> Gpu:
    # Version 2 excludes the driver's own reserve from "used"; some drivers (WSL) lack it.
    memory = _ask(
        nvml.nvmlDeviceGetMemoryInfo, device.handle, getattr(nvml, "nvmlMemory_v2", 2)
    ) or _ask(nvml.nvmlDeviceGetMemoryInfo, device.handle)
    if memory is None:  # perhaps the GPU is lost: look it up again next time
        _devices_cached.clear()
    card = _card(device.name)
    unified = (reported is not None and reported.unified) or (card is not None and card.unified)
    if unified or memory is None or not memory.total:
        # An integrated GPU's figures, if it has any, leave out page cache that can be freed.
        total = reported.total if reported else None
        if not unified and total is None and card is not None:
            total = card.vram
        return _gpu(device, index, total, None, unified=unified)
    return _gpu(device, index, int(memory.total), int(memory.free), unified=False)


@lru_cache
def _card(name: str) -> Card | None:
    return card_for(name, None)


def _gpu(device: _Device, index: int, total: int | None, free: int | None, *, unified: bool) -> Gpu:
    return Gpu(
        index=index,
        name=device.name,
        uuid=device.uuid,
        total=total,
        free=free,
        capability=device.capability,
        source="nvml",
        unified=unified,
    )


def _of_driver(device: DriverDevice, index: int) -> Gpu:
    """An integrated GPU that NVML does not know."""
    return Gpu(
        index=index,
        name=device.name,
        uuid=f"GPU-{device.uuid}",
        total=device.total,
        capability=device.capability,
        source="driver",
        unified=True,
    )


def _ask(call: Any, *args: Any) -> Any:
    """The result of an NVML call; None where this device or driver does not support it."""
    nvml = _nvml()
    try:
        return call(*args)
    except nvml.NVMLError:
        return None
