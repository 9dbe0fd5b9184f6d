"""AMD GPUs from sysfs."""

from __future__ import annotations

from pathlib import Path

import pytest

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
