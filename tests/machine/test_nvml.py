"""NVIDIA GPUs through NVML."""

from __future__ import annotations

import subprocess
from pathlib import Path
from shutil import which
from types import SimpleNamespace
from typing import Any

import pytest

from cogmagic import Machine
from cogmagic._machine import cuda_driver
from cogmagic._machine import nvml as _nvml
from cogmagic._machine.cuda_driver import DriverDevice, ask_driver, driver_devices
from cogmagic._units import GIB, MIB
from tests.helpers.nvml import UUIDS, FakeNvml, NVMLError


def test_gpus_have_cuda_indices_and_are_joined_by_uuid(nvml: FakeNvml) -> None:
    first, second = _nvml.nvidia_gpus()
    assert (first.index, first.name, first.free) == (0, "H100", 70 * GIB)
    assert (second.index, second.name, second.capability) == (1, "RTX 3060", (8, 6))
    assert first.reserved is None  # CUDA is not initialised in this process


def test_share_of_this_kernel_is_from_torchs_counters(
    nvml: FakeNvml, cuda_build: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In torch's layout: the second GPU has a context, and no memory yet."""
    stats = {0: {"reserved_bytes": {"all": {"current": 5 * GIB}}}, 1: {}}
    stats[0]["allocated_bytes"] = {"all": {"current": 4 * GIB}}
    cuda = SimpleNamespace(is_initialized=lambda: True, device_count=lambda: 2)
    cuda.memory_stats_as_nested_dict = stats.__getitem__
    torch = SimpleNamespace(cuda=cuda, _C=SimpleNamespace())
    monkeypatch.setattr("cogmagic._machine.hardware.imported_torch", lambda: torch)
    first, second = Machine.detect_hardware().gpus
    assert (first.reserved, first.allocated, first.others) == (5 * GIB, 4 * GIB, 5 * GIB)
    assert (second.reserved, second.allocated, second.others) == (0, 0, GIB)


def test_mig_instance_is_read_by_its_uuid(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_nvml, "_driver_uuids", lambda *_: ("cccccccc00001111222233334444cccc",))
    (gpu,) = _nvml.nvidia_gpus()
    assert (gpu.name, gpu.total, gpu.capability) == ("H100 MIG 1g", 10 * GIB, None)


def test_memory_is_read_from_drivers_without_version_2(nvml: FakeNvml) -> None:
    nvml.knows_v2 = False
    assert _nvml.nvidia_gpus()[0].free == 70 * GIB - 500 * MIB


def test_hidden_gpus_are_noted(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "2 NVIDIA GPU(s) hidden by CUDA_VISIBLE_DEVICES=''" in str(_nvml.visible_note())


class Silent(FakeNvml):
    """NVML that knows a GPU's name but not its memory."""

    def __init__(self, name: str, capability: tuple[int, int]) -> None:
        uuid = "GPU-aaaaaaaa-0000-1111-2222-33334444aaaa"
        self.cards = {uuid: (name, 0, 0, capability)}

    def nvmlDeviceGetMemoryInfo(self, handle: str, version: int | None = None) -> Any:
        raise NVMLError


def detected(nvml: FakeNvml | None, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The machine with that NVML, whose driver shows one GPU."""
    monkeypatch.setattr(_nvml, "_nvml", lambda: nvml)
    monkeypatch.setattr(_nvml, "_driver_uuids", lambda *_: (UUIDS[0],))
    _nvml._devices_cached.clear()
    return Machine.detect()


@pytest.mark.parametrize(
    ("name", "capability"), [("NVIDIA GB10", (12, 1)), ("Orin", (8, 7)), ("NVIDIA Thor", (11, 0))]
)
def test_integrated_gpu_has_the_memory_of_the_system(
    name: str, capability: tuple[int, int], cuda_build: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NVML answers "Not Supported" for a GB10."""
    machine = detected(Silent(name, capability), monkeypatch)
    (gpu,) = machine.gpus
    assert (gpu.name, gpu.unified, gpu.capability) == (name, True, capability)
    assert gpu.total == machine.ram.total
    assert gpu.free == machine.ram.available
    assert gpu.available == machine.ram.available


def test_integrated_gpu_is_recognised_by_the_driver(
    cuda_build: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NVML's figure would leave out page cache."""
    nvml = FakeNvml()
    nvml.cards = {"GPU-aaaaaaaa-0000-1111-2222-33334444aaaa": ("New GPU", 2**40, 2**20, (13, 0))}
    device = DriverDevice(UUIDS[0], unified=True, total=2**41, capability=(13, 0), name="New GPU")
    monkeypatch.setitem(_nvml._reported, UUIDS[0], device)
    machine = detected(nvml, monkeypatch)
    (gpu,) = machine.gpus
    assert (gpu.unified, gpu.total, gpu.free) == (True, 2**41, machine.ram.available)


def test_jetson_without_nvml_is_detected(
    tmp_path: Path, cuda_build: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = DriverDevice(UUIDS[0], unified=True, total=61 * GIB, capability=(8, 7), name="Orin")
    monkeypatch.setitem(_nvml._reported, UUIDS[0], device)
    monkeypatch.setattr(_nvml, "_TEGRA", tmp_path)  # any path that exists
    machine = detected(None, monkeypatch)
    (gpu,) = machine.gpus
    assert (machine.device, gpu.name, gpu.source) == ("cuda", "Orin", "driver")
    assert machine.rates is not None
    assert "Jetson AGX Orin 64GB" in machine.rates.source
    monkeypatch.setattr(_nvml, "_TEGRA", tmp_path / "none")
    assert detected(None, monkeypatch).gpus == ()


def test_card_without_a_figure_has_its_published_size(
    cuda_build: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_nvml, "_reported", {})
    (gpu,) = detected(Silent("NVIDIA GeForce RTX 4090", (8, 9)), monkeypatch).gpus
    assert (gpu.total, gpu.free, gpu.unified) == (24564 * MIB, None, False)


DRIVER = """
#include <stddef.h>
#include <string.h>
int cuInit(unsigned flags) { return 0; }
int cuDeviceGetCount(int *n) { *n = 2; return 0; }
int cuDeviceGet(int *device, int i) { *device = i; return 0; }
int cuDeviceGetUuid(char *uuid, int device) { memset(uuid, 0xa0 + device, 16); return 0; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = 1ul << 36; return device; }
int cuDeviceGetName(char *name, int n, int device) { strcpy(name, "NVIDIA GB10"); return 0; }
int cuDeviceGetAttribute(int *value, int kind, int device) {
    *value = kind == 18 ? 1 : kind == 75 ? 12 : kind == 76 ? 1 : -1;
    return 100 * device;
}
"""


@pytest.mark.skipif(which("cc") is None, reason="needs a C compiler")
def test_driver_is_asked_for_what_is_integrated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "driver.c").write_text(DRIVER)
    library = tmp_path / "libcuda.so.1"
    command = ["cc", "-shared", "-fPIC", "-o", library, tmp_path / "driver.c"]
    subprocess.run(command, check=True)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    assert ask_driver() == (
        DriverDevice("a0" * 16, True, 2**36, (12, 1), "NVIDIA GB10"),
        DriverDevice("a1" * 16, False, None, (0, 0), "NVIDIA GB10"),  # which answers nothing
    )


def test_driver_without_devices_is_asked_again_after_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each question starts a process, and the panel would ask twice a second."""
    device = DriverDevice(UUIDS[0], unified=False, total=2**36, capability=(9, 0), name="H100")
    answers: list[tuple[DriverDevice, ...]] = [(), (device,)]
    now = [100.0]
    monkeypatch.setattr(cuda_driver, "ask_driver", lambda: answers.pop(0))
    monkeypatch.setattr(cuda_driver.time, "monotonic", lambda: now[0])
    assert driver_devices("an environment") == ()
    now[0] += 9
    assert driver_devices("an environment") == ()
    now[0] += 2
    assert driver_devices("an environment") == (device,)
