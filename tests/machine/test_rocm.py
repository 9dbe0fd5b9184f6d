"""AMD GPUs from sysfs."""

from __future__ import annotations

from pathlib import Path

import pytest

from cogmagic import Gpu
from cogmagic._machine.rocm import amd_gpus
from cogmagic._units import GIB
from tests.helpers.files import write


def test_amd_gpus_are_read_from_sysfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_apu_has_host_memory_unless_its_carve_out_is_larger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HIP_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def gpu(carve_out: int, metrics: bytes) -> Gpu:
        for name, gib in (("vram_total", carve_out), ("gtt_total", 32), ("gtt_used", 2)):
            write(tmp_path, {f"card0/device/mem_info_{name}": f"{gib * GIB}\n"})
        write(tmp_path, {"card0/device/mem_info_vram_used": "0\n"})
        (tmp_path / "card0/device/gpu_metrics").write_bytes(metrics)
        return amd_gpus(tmp_path)[0]

    apu = gpu(1, b"\x80\x00\x03\x00")
    assert (apu.unified, apu.total, apu.allowed) == (True, 32 * GIB, 30 * GIB)
    assert apu.sharing(64 * GIB, 20 * GIB).available == 20 * GIB
    assert apu.sharing(64 * GIB, 60 * GIB).available == 30 * GIB
    for carve_out, metrics in ((96, b"\x80\x00\x03\x00"), (16, b"\x80\x00\x01\x03"), (16, b"")):
        own = gpu(carve_out, metrics)
        assert (own.unified, own.total) == (False, carve_out * GIB)
