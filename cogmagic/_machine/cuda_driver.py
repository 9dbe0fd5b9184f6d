"""Devices in the CUDA driver's order, from a short-lived process that asks it, or from torch.

Initialising the driver in this process would fix ``CUDA_VISIBLE_DEVICES`` and break forks. No CUDA
context is created.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

__all__ = ["DriverDevice", "ask_driver", "driver_devices", "torch_devices"]


# Prints a line for each device that the CUDA driver makes visible (MIG instances included): UUID,
# whether it shares the host's memory, bytes, compute capability, name. 18, 75 and 76 are
# CU_DEVICE_ATTRIBUTE_INTEGRATED and _COMPUTE_CAPABILITY_MAJOR and _MINOR.
_SCRIPT = """
import ctypes, sys
cuda = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
number, size = ctypes.c_int(), ctypes.c_size_t()
uuid, name = (ctypes.c_ubyte * 16)(), ctypes.create_string_buffer(100)
def attribute(kind, device):
    return number.value if cuda.cuDeviceGetAttribute(ctypes.byref(number), kind, device) == 0 else 0
count = ctypes.c_int()
if cuda.cuInit(0) == 0 and cuda.cuDeviceGetCount(ctypes.byref(count)) == 0:
    ask = getattr(cuda, "cuDeviceGetUuid_v2", cuda.cuDeviceGetUuid)
    for i in range(count.value):
        device = ctypes.c_int()
        if cuda.cuDeviceGet(ctypes.byref(device), i) == 0 and ask(uuid, device) == 0:
            total = size.value if cuda.cuDeviceTotalMem_v2(ctypes.byref(size), device) == 0 else 0
            cuda.cuDeviceGetName(name, 100, device)
            facts = [attribute(kind, device) for kind in (18, 75, 76)]
            print(bytes(uuid).hex(), *facts, total, name.value.decode(errors="replace"))
"""


@dataclass(frozen=True)
class DriverDevice:
    """A device as the driver reports it."""

    uuid: str
    """In hexadecimal, without dashes."""
    unified: bool
    """Whether it shares the host's memory."""
    total: int | None
    """Bytes of its memory."""
    capability: tuple[int, int]
    name: str


def ask_driver() -> tuple[DriverDevice, ...]:
    """The visible devices in the driver's order; none if it does not start."""
    try:
        finished = subprocess.run(  # noqa: S603 - our own script, our own interpreter
            [sys.executable, "-I", "-c", _SCRIPT],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    rows = [line.split(" ", 5) for line in finished.stdout.splitlines()]
    return tuple(
        DriverDevice(uuid, integrated == "1", int(total) or None, (int(major), int(minor)), name)
        for uuid, integrated, major, minor, total, name in (r for r in rows if len(r) == 6)
    )


_none_at: dict[object, float] = {}
"""By environment, when the driver was asked and had no device: seconds of the monotonic clock."""


_PAUSE_SECONDS = 10.0
"""Seconds from one such question to the next: each starts a process."""


def driver_devices(environment: object) -> tuple[DriverDevice, ...]:
    """`ask_driver`, which is not asked again for some seconds while it has no device.

    Args:
        environment: the variables of the environment on which the answer depends.
    """
    now = time.monotonic()
    if now - _none_at.get(environment, -_PAUSE_SECONDS) < _PAUSE_SECONDS:
        return ()
    devices = ask_driver()
    if not devices:
        _none_at[environment] = now
    return devices


@lru_cache(maxsize=1)
def torch_devices(torch: Any) -> tuple[DriverDevice, ...]:
    """The visible devices as torch reports them, once it has initialised CUDA in this process.

    From then on they do not change, so they are asked once.
    """
    devices = (torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count()))
    return tuple(
        DriverDevice(
            str(device.uuid).replace("-", ""),
            bool(getattr(device, "is_integrated", False)),
            int(device.total_memory),
            (device.major, device.minor),
            device.name,
        )
        for device in devices
    )
