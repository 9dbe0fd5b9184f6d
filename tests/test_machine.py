"""Reading a machine: NVML by UUID, the container's memory limit, torch builds."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cogmagic import Gpu, Machine, RequestError
from cogmagic._machine import nvml as _nvml
from cogmagic._machine.gpu import gpu_names, selected
from cogmagic._machine.ram import cgroup_memory, host_ram
from cogmagic._machine.rocm import amd_gpus
from cogmagic._machine.torch_build import TorchBuild, built_for, cpu_only_note, torch_build
from cogmagic._machine.torch_check import checked_by_torch
from cogmagic._units import GIB

MIB = 2**20
UUIDS = ["aaaaaaaa00001111222233334444aaaa", "bbbbbbbb00001111222233334444bbbb"]


class NVMLError(Exception):
    pass


class FakeNvml:
    """NVML of a machine that CI does not have: two cards, listed in the other order than CUDA's,
    and a MIG instance whose parent refuses memory questions, as inside a container.
    """

    NVMLError = NVMLError
    nvmlMemory_v2 = 2
    cards = {
        "GPU-" + "bbbbbbbb-0000-1111-2222-33334444bbbb": ("RTX 3060", 12 * GIB, 11 * GIB, (8, 6)),
        "GPU-" + "aaaaaaaa-0000-1111-2222-33334444aaaa": ("H100", 80 * GIB, 70 * GIB, (9, 0)),
        "MIG-" + "cccccccc-0000-1111-2222-33334444cccc": ("H100 MIG 1g", 10 * GIB, 9 * GIB, None),
    }
    knows_v2 = True

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes) -> str:
        if uuid.decode() not in self.cards:
            raise NVMLError
        return uuid.decode()

    def nvmlDeviceGetMemoryInfo(self, handle: str, version: int | None = None) -> Any:
        if version is not None and not self.knows_v2:
            raise NVMLError
        _, total, free, _ = self.cards[handle]
        # Version 1 counts the driver's own reserve as used.
        return SimpleNamespace(total=total, free=free if version else free - 500 * MIB)

    def nvmlDeviceGetName(self, handle: str) -> str:
        return self.cards[handle][0]

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, handle: str) -> str:
        raise NVMLError

    def nvmlDeviceGetCudaComputeCapability(self, handle: str) -> Any:
        capability = self.cards[handle][3]
        if capability is None:
            raise NVMLError
        return capability

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.95.05"


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    fake = FakeNvml()
    monkeypatch.setattr(_nvml, "_nvml", lambda: fake)
    monkeypatch.setattr(_nvml, "_driver_uuids", lambda *_: tuple(UUIDS))
    return fake


def test_gpus_are_numbered_as_cuda_does_and_joined_by_uuid(nvml: FakeNvml) -> None:
    first, second = _nvml.nvidia_gpus()
    assert (first.index, first.name, first.free) == (0, "H100", 70 * GIB)
    assert (second.index, second.name, second.capability) == (1, "RTX 3060", (8, 6))
    assert first.reserved is None  # CUDA is not initialised in this process


def test_a_mig_instance_by_its_own_uuid(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_nvml, "_driver_uuids", lambda *_: ("cccccccc00001111222233334444cccc",))
    (gpu,) = _nvml.nvidia_gpus()
    assert (gpu.name, gpu.total, gpu.capability) == ("H100 MIG 1g", 10 * GIB, None)


def test_memory_of_a_driver_without_version_2(nvml: FakeNvml) -> None:
    nvml.knows_v2 = False
    assert _nvml.nvidia_gpus()[0].free == 70 * GIB - 500 * MIB


def test_gpus_are_chosen_by_index_or_uuid(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "cogmagic._machine.hardware.torch_build", lambda: TorchBuild("2.13.0", cuda="13.0")
    )
    whole = Machine.detect()
    assert [g.name for g in whole.gpus] == ["H100", "RTX 3060"]
    assert whole.driver == "580.95.05"
    assert whole.versions == f"torch {version('torch')}, diffusers {version('diffusers')}"
    for name in ("1", str(whole.gpus[1].uuid), str(whole.gpus[1].uuid)[:8].upper()):
        machine = Machine.detect(gpus=(name,))
        assert [(g.index, g.name) for g in machine.gpus] == [(1, "RTX 3060")]
        assert machine.rates is not None
        assert whole.rates is not None
        assert machine.rates.compute < whole.rates.compute  # those of the other card
    assert Machine.detect(gpus=("0", "1")).gpus == whole.gpus
    for name in ("2", "GPU-f", "x"):
        with pytest.raises(RequestError, match=rf"no GPU '{name}'. Choose from 0 \(H100\), 1 \("):
            Machine.detect(gpus=(name,))
    with pytest.raises(RequestError, match="'GPU-' names 2 GPUs"):
        Machine.detect(gpus=("GPU-",))
    with pytest.raises(RequestError, match="There is none to use; leave it out"):
        selected((), ("0",))


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (None, ()), ("0,2", ("0", "2")), (1, ("1",)), ([0, "GPU-8"], ("0", "GPU-8")),
        ("", None), ("0,", None), ([], None), (1.5, None), ([True], None), (False, None),
    ],
)  # fmt: skip
def test_names_of_gpus(given: object, names: tuple[str, ...] | None) -> None:
    if names is None:
        with pytest.raises(RequestError, match="name GPUs by index or UUID, as --gpus 0,2"):
            gpu_names(given)
    else:
        assert gpu_names(given) == names


def test_hidden_gpus_are_said(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "2 NVIDIA GPU(s) hidden by CUDA_VISIBLE_DEVICES=''" in str(_nvml.visible_note())


def test_a_cpu_build_of_torch_beside_a_gpu(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cogmagic._machine.hardware.torch_build", lambda: TorchBuild("2.13.0+cpu"))
    machine = Machine.detect()
    assert (machine.device, machine.gpus) == ("cpu", ())
    assert "H100 found, but torch 2.13.0+cpu was built without CUDA" in str(machine.note)
    assert "pip install" in str(machine.note)
    assert "\n" not in cpu_only_note((Gpu(0, "H100"),), TorchBuild())


def test_a_driver_that_torch_cannot_start() -> None:
    """CI's torch has no CUDA, which is what an outdated driver looks like to it."""
    machine = checked_by_torch(Machine((Gpu(0, "GTX 970"),), device="cuda"))
    assert (machine.device, machine.gpus) == ("cpu", ())
    assert "cannot start CUDA" in str(machine.note)
    assert checked_by_torch(Machine(device="mps")).device == "cpu"


@pytest.mark.parametrize(
    ("capability", "architectures", "usable"),
    [
        ((9, 0), ["sm_80", "sm_90"], True),
        ((8, 6), ["sm_80", "sm_90"], True),
        ((7, 0), ["sm_75", "sm_80", "sm_90"], False),
        ((12, 0), ["sm_80", "sm_90"], False),
        ((12, 0), ["sm_90", "compute_90"], True),
        ((9, 0), ["sm_90a"], True),
        ((12, 1), ["sm_120"], True),
        (None, ["sm_90"], True),
        ((9, 4), ["gfx942"], True),
    ],
)
def test_which_gpus_a_build_of_torch_serves(
    capability: tuple[int, int] | None, architectures: list[str], usable: bool
) -> None:
    assert built_for(capability, architectures) is usable


def test_detecting_imports_no_torch_and_reads_its_build() -> None:
    code = (
        "import sys, cogmagic; m = cogmagic.Machine.detect(); print(m.ram.total > 0);"
        "from cogmagic._machine.torch_build import torch_build; print(torch_build().version);"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    import torch

    assert done.stdout.split() == ["True", torch.__version__, "False"]
    assert torch_build() == TorchBuild(torch.__version__, torch.version.cuda, torch.version.hip)


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_the_tightest_limit_of_cgroup_version_2(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "membership": "0::/user/kernel\n",
            "memory.max": "max\n",
            "memory.current": "1\n",
            "user/memory.max": f"{8 * GIB}\n",
            "user/memory.current": f"{3 * GIB}\n",
            "user/memory.stat": f"anon 5\ninactive_file {GIB}\n",
            "user/kernel/memory.max": f"{16 * GIB}\n",
            "user/kernel/memory.current": f"{GIB}\n",
        },
    )
    assert cgroup_memory(tmp_path, tmp_path / "membership") == (8 * GIB, 2 * GIB)


def test_the_limit_of_a_container_under_cgroup_version_1(tmp_path: Path) -> None:
    """The membership names the host's path, which the container does not see."""
    write(
        tmp_path,
        {
            "membership": "5:cpu:/docker/abc\n4:memory:/docker/abc\n",
            "memory/memory.limit_in_bytes": f"{12 * GIB}\n",
            "memory/memory.usage_in_bytes": f"{5 * GIB}\n",
            "memory/memory.stat": f"total_inactive_file {2 * GIB}\n",
        },
    )
    assert cgroup_memory(tmp_path, tmp_path / "membership") == (12 * GIB, 3 * GIB)


def test_no_limit_at_all(tmp_path: Path) -> None:
    assert cgroup_memory(tmp_path, tmp_path / "nothing") is None
    write(tmp_path, {"membership": "0::/\n", "memory.max": "max\n", "memory.current": "1\n"})
    assert cgroup_memory(tmp_path, tmp_path / "membership") is None


def test_host_ram_is_read() -> None:
    ram = host_ram()
    assert ram.total is not None
    assert ram.available is not None
    assert 0 < ram.available <= ram.total


def test_a_run_on_one_gpu_uses_the_roomiest() -> None:
    gpus = (Gpu(0, "A", free=4 * GIB), Gpu(1, "B", free=40 * GIB), Gpu(2, "C", free=40 * GIB))
    assert Machine(gpus, device="cuda").roomiest is gpus[1]
    assert Machine().roomiest is None


def test_the_next_run_uses_the_same_gpu_unless_another_has_more_room() -> None:
    def roomiest(free: float) -> int:
        """Of two, when the second has this kernel's context and so many GiB free."""
        gpus = Gpu(0, "A", free=24 * GIB), Gpu(1, "B", free=round(free * GIB), reserved=0)
        found = Machine(gpus, device="cuda").roomiest
        assert found is not None
        return found.index

    assert roomiest(23.3) == 1
    assert roomiest(23.2) == 1  # of which libraries took some
    assert roomiest(22.9) == 0


def test_a_driver_that_does_not_start_is_said_and_asked_again(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(_nvml, "_driver_uuids", lambda *_: ())
    monkeypatch.setattr(
        "cogmagic._machine.hardware.torch_build", lambda: TorchBuild("2.13.0", cuda="13.0")
    )
    assert "2 NVIDIA GPU(s) seen, but the CUDA driver does not start" in str(Machine.detect().note)


def test_amd_gpus_from_sysfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n, used in ((0, 2), (1, 4)):
        write(
            tmp_path,
            {
                f"card{n}/device/mem_info_vram_total": f"{16 * GIB}\n",
                f"card{n}/device/mem_info_vram_used": f"{used * GIB}\n",
                f"card{n}/device/product_name": f"Radeon {n}\n",
            },
        )
    (tmp_path / "card2" / "device").mkdir(parents=True)  # another vendor's
    monkeypatch.delenv("HIP_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [(g.name, g.free) for g in amd_gpus(tmp_path)] == [
        ("Radeon 0", 14 * GIB),
        ("Radeon 1", 12 * GIB),
    ]
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "1")
    assert [(g.index, g.name) for g in amd_gpus(tmp_path)] == [(0, "Radeon 1")]


def test_a_gpu_is_probed_once_a_kernel_until_its_probes_are_forgotten(
    nvml: FakeNvml, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order of events; what a probe measures is looked at on GPUs."""
    from contextlib import nullcontext

    import torch

    from cogmagic._machine import rates as _rates
    from cogmagic._session import calibration as _experience

    made: list[int] = []

    def probe(_: torch.device) -> _rates.Rates:
        made.append(1)
        return _rates.Rates(4e14, 1e14, source="probe")

    monkeypatch.setattr(
        "cogmagic._machine.hardware.torch_build", lambda: TorchBuild("2.13.0", cuda="13.0")
    )
    monkeypatch.setattr("cogmagic._machine.probe.probe", probe)
    monkeypatch.setattr(_experience, "_probed", set())
    monkeypatch.setattr(_experience, "use_expandable_segments", lambda: None)
    monkeypatch.setattr(_experience, "checked_by_torch", lambda machine: machine)
    monkeypatch.setattr(torch.random, "fork_rng", lambda _: nullcontext())
    for _ in range(2):
        machine = _experience.ready(Machine.detect(), ())
        assert machine.rates is not None
        assert (machine.rates.source, machine.rates.probes, len(made)) == ("probe", 1, 1)
    _rates.delete_probes(own_cache)
    assert Machine.detect().rates != machine.rates
    again = _experience.ready(Machine.detect(), ())
    assert again.rates is not None
    assert (again.rates.probes, len(made)) == (1, 2)
    for kernel in range(6):
        monkeypatch.setattr(_experience, "_probed", set())
        _experience.ready(Machine.detect(), ())
        assert len(made) == min(kernel + 3, 6)  # five are enough
    own_cache.joinpath("rates-v4.json").unlink()
    monkeypatch.setattr(_rates, "write_atomically", refuse)
    unkept = _experience.ready(Machine.detect(), ())
    assert unkept.rates is not None
    assert unkept.rates.source == "probe"


def refuse(*_: object) -> None:
    raise PermissionError
