"""NVIDIA GPUs through NVML."""

from __future__ import annotations

import pytest

from cogmagic._machine import nvml as _nvml
from cogmagic._units import GIB, MIB
from tests.helpers.nvml import FakeNvml


def test_gpus_have_cuda_indices_and_are_joined_by_uuid(nvml: FakeNvml) -> None:
    first, second = _nvml.nvidia_gpus()
    assert (first.index, first.name, first.free) == (0, "H100", 70 * GIB)
    assert (second.index, second.name, second.capability) == (1, "RTX 3060", (8, 6))
    assert first.reserved is None  # CUDA is not initialised in this process


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
