"""AMD GPUs under ROCm, which has no NVML: names and memory from sysfs."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from cogmagic._machine.gpu import Gpu

__all__ = ["amd_gpus"]


_DRM = Path("/sys/class/drm")


def amd_gpus(root: Path = _DRM) -> tuple[Gpu, ...]:
    """The AMD GPUs that torch would see, by index (``HIP_VISIBLE_DEVICES`` respected)."""
    cards = [
        c for c in sorted(root.glob("card[0-9]*/device")) if (c / "mem_info_vram_total").is_file()
    ]
    devices = list(dict.fromkeys(c.resolve() for c in cards))  # connectors repeat their card
    visible = os.environ.get("HIP_VISIBLE_DEVICES", os.environ.get("CUDA_VISIBLE_DEVICES"))
    if visible is not None:
        indices = [int(v) for v in visible.split(",") if v.strip().isdigit()]
        devices = [devices[i] for i in indices if i < len(devices)]
    return tuple(_read(device, index) for index, device in enumerate(devices))


def _read(card: Path, index: int) -> Gpu:
    total, used = _bytes(card / "mem_info_vram_total"), _bytes(card / "mem_info_vram_used")
    shared, shared_used = _bytes(card / "mem_info_gtt_total"), _bytes(card / "mem_info_gtt_used")
    name = card / "product_name"
    gpu = Gpu(
        index=index,
        name=name.read_text(encoding="utf-8").strip() if name.is_file() else "AMD GPU",
        total=total,
        free=None if total is None or used is None else total - used,
        source="sysfs",
    )
    if shared is None or shared <= (total or 0) or not _is_apu(card):
        return gpu
    left = shared - (shared_used or 0)
    return replace(gpu, total=shared, free=left, allowed=left, unified=True)


def _is_apu(card: Path) -> bool:
    """Whether a GPU is part of a processor.

    Its ``gpu_metrics`` then have format 2 or 3; those of other GPUs have 1 (the kernel's
    ``kgd_pp_interface.h``). The driver gives it host memory (GTT) in place of its carve-out where
    the carve-out is the smaller of the two (``apu_prefer_gtt`` in the kernel's ``amdgpu_ttm.c``).
    """
    try:
        header = (card / "gpu_metrics").read_bytes()[:4]
    except OSError:
        return False
    return len(header) == 4 and header[2] >= 2  # size in two bytes, then the format


def _bytes(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
