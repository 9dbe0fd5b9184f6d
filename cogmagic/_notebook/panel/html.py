"""What the panel says: the recommendation as a table, a sample as bars, a preview as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING, Any

from cogmagic._units import gib, seconds

if TYPE_CHECKING:
    import numpy as np

    from cogmagic._notebook.panel.sampler import Sample
    from cogmagic._planning.plan import Plan

__all__ = ["animated", "bars", "recommendation"]


def recommendation(plan: Plan) -> str:
    """The chosen tier and why, every candidate, and what the rule says, as HTML."""
    heads = "".join(f'<th scope="col">{h}</th>' for h in ("tier", "VRAM", "RAM", "s/step", "fits"))
    rows = []
    for c in plan.candidates:
        fits = "yes" if c.fits else f"no, {c.reason}"
        cells = (gib(c.peak_vram), gib(c.peak_ram), seconds(c.step_seconds), fits)
        chosen = ' class="cogmagic-chosen"' if c.tier == plan.tier else ""
        inner = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        rows.append(f'<tr{chosen}><th scope="row">{c.tier}</th>{inner}</tr>')
    table = f'<table class="cogmagic-table"><tr>{heads}</tr>{"".join(rows)}</table>' * bool(rows)
    notes = [
        *(f"It would change with {c}." for c in plan.changes),
        *(f"{w}." for w in plan.warnings),
    ]
    said = "".join(f"<div>{escape(note)}</div>" for note in notes)
    return (
        f"<div><b>{plan.tier}</b>: {escape(plan.reason)}.</div>{table}"
        f"<div>The published rule says {plan.rule} ({escape(plan.rule_reason)}).</div>{said}"
    )


def bars(sample: Sample, ghost: Plan | None, peaks: Mapping[int, int]) -> dict[str, Any]:
    """A sample as what the meter draws. Bytes; parts without a known size are left out.

    Args:
        sample: the moment.
        ghost: the plan of the request that is entered.
        peaks: the most that the run has held of each GPU.
    """
    found = [_gpu_bar(sample, i, ghost, peaks) for i in range(len(sample.gpus))]
    ram, need = sample.ram, ghost.peak_ram if ghost else None
    if ram.total is not None and ram.available is not None:
        others = max(ram.total - ram.available - ram.mine, 0)
        parts = [["mine", ram.mine, "this kernel"], ["others", others, "others about"]]
        parts.append(["free", ram.available, "available"])
        found.append({"label": "RAM", "total": ram.total, "parts": parts, "ghost": need})
    said = "" if sample.gpus else (sample.note or "No GPU here: it runs on the CPU, without VRAM.")
    return {"bars": found, "said": said}


def _gpu_bar(
    sample: Sample, i: int, ghost: Plan | None, peaks: Mapping[int, int]
) -> dict[str, Any]:
    gpu, vitals = sample.gpus[i], sample.vitals[i] if i < len(sample.vitals) else None
    mine = gpu.reserved or 0
    brought = min(sample.weights.get(gpu.index, 0), mine)
    parts: list[list[Any]] = [["weights", brought, "this kernel: weights"]]
    parts.append(["mine", mine - brought, "this kernel: the rest"])
    if gpu.others is not None:
        parts.append(["others", gpu.others, "others about"])
    parts.append(["free", gpu.free, "free"])
    notes = [f"{vitals.temperature} °C" if vitals and vitals.temperature is not None else ""]
    notes.append(f"{vitals.power:.0f} W" if vitals and vitals.power is not None else "")
    return {
        "label": f"GPU {gpu.index}",
        "total": gpu.total,
        "parts": [part for part in parts if part[1] is not None],
        "mark": peaks.get(gpu.index),
        "ghost": ghost.peak_vram if ghost and gpu.index in ghost.gpus else None,
        "note": " · ".join([gpu.name, *filter(None, notes)]),
    }


def animated(frames: np.ndarray[Any, Any], fps: int, width: int = 240) -> bytes:
    """Small frames (uint8, frames × height × width × 3) as an animated WebP, enlarged."""
    from PIL import Image

    height = max(round(width * frames.shape[1] / frames.shape[2]), 1)
    smooth = Image.Resampling.BILINEAR
    pictures = [Image.fromarray(frame).resize((width, height), smooth) for frame in frames]
    out = BytesIO()
    pictures[0].save(
        out, "WEBP", save_all=True, append_images=pictures[1:], duration=4000 // fps, loop=0,
        quality=60, method=0,
    )  # fmt: skip
    return out.getvalue()
