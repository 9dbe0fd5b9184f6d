"""The memory meter's bars, of a reading and a plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cogmagic._notebook.panel.machine.readings import Reading
    from cogmagic._planning.plan import Plan

__all__ = ["bars"]


def bars(reading: Reading, plan: Plan | None, peaks: Mapping[int, int]) -> dict[str, Any]:
    """A reading as the meter draws it, in bytes; parts of unknown size are left out.

    Args:
        reading: the machine at one moment.
        plan: the plan of the request that is entered.
        peaks: per GPU, the most bytes that the run has reserved.
    """
    drawn = [_gpu_bar(reading, i, plan, peaks) for i in range(len(reading.gpus))]
    ram = reading.ram
    if ram.total is not None and ram.available is not None:
        others = max(ram.total - ram.available - ram.mine, 0)
        parts = [
            ["mine", ram.mine, "this kernel"],
            ["others", others, "others about"],
            ["free", ram.available, "available"],
        ]
        need = plan.peak_ram if plan else None
        drawn.append({"label": "RAM", "total": ram.total, "parts": parts, "need": need})
    no_gpu = reading.note or "No GPU: runs use the CPU and need no VRAM."
    return {"bars": drawn, "note": "" if reading.gpus else no_gpu}


def _gpu_bar(
    reading: Reading, i: int, plan: Plan | None, peaks: Mapping[int, int]
) -> dict[str, Any]:
    gpu, vitals = reading.gpus[i], reading.vitals[i] if i < len(reading.vitals) else None
    mine = gpu.reserved or 0
    weights = min(reading.weights.get(gpu.index, 0), mine)
    parts: list[list[Any]] = [
        ["weights", weights, "this kernel's weights"],
        ["mine", mine - weights, "this kernel's other memory" if weights else "this kernel"],
        ["others", gpu.others, "others about"],
        ["free", gpu.free, "free"],
    ]
    notes = [gpu.name, *(["shared with the CPU"] if gpu.unified else [])]
    if vitals and vitals.temperature is not None:
        notes.append(f"{vitals.temperature} °C")
    if vitals and vitals.power is not None:
        notes.append(f"{vitals.power:.0f} W")
    if vitals and vitals.utilisation is not None:
        notes.append(f"{vitals.utilisation} % busy")
    return {
        "label": f"GPU {gpu.index}",
        "total": gpu.total,
        "parts": [part for part in parts if part[1] is not None],
        "peak": peaks.get(gpu.index),
        "need": plan.peak_vram if plan and gpu.index in plan.gpus else None,
        "note": " · ".join(notes),
    }
