"""The panel's HTML: the recommendation, the meter's bars, a preview."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING, Any

from cogmagic._models.adapters.described import planned
from cogmagic._notebook.panel.labels import panel_words
from cogmagic._notebook.panel.models import about
from cogmagic._tiers.registry import TIERS
from cogmagic._units import gib, seconds

if TYPE_CHECKING:
    import numpy as np

    from cogmagic._notebook.panel.readings import Reading
    from cogmagic._planning.plan import Plan

__all__ = ["animated", "bars", "download_words", "recommendation", "run_note"]


_HEADS = ("tier", "GiB VRAM", "GiB RAM", "s/step", "fits")


def recommendation(plan: Plan) -> str:
    """The chosen tier and why, every candidate, the preset and adapters, and the rule's tier."""
    heads = "".join(f'<th scope="col">{head}</th>' for head in _HEADS)
    rows = []
    for c in plan.candidates:
        amounts = (gib(n).removesuffix(" GiB") for n in (c.peak_vram, c.peak_ram))
        cells = (*amounts, seconds(c.step_seconds), "yes" if c.fits else c.reason)
        chosen = ' class="cogmagic-chosen"' if c.tier == plan.tier else ""
        inner = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        rows.append(f'<tr{chosen}><th scope="row">{c.tier}</th>{inner}</tr>')
    table = f'<table class="cogmagic-table"><tr>{heads}</tr>{"".join(rows)}</table>' * bool(rows)
    prefix = "Faster with" if plan.fits else "It would fit with"
    notes = [
        *([f"Preset {plan.preset_note}."] if plan.preset_note else []),
        *(f"LoRA {planned(adapter)}." for adapter in plan.request.loras),
        f"The published rule says {TIERS[plan.rule].title} ({plan.rule_reason}).",
        *([f"Faster with {plan.speeds.gain}."] if plan.speeds.gain else []),
        *(f"{prefix} {change}." for change in plan.changes),
        *([f"{plan.speed_remark}."] if plan.speed_remark else []),
        *(f"{warning}." for warning in plan.warnings),
    ]
    lines = "".join(f"<div>{escape(panel_words(note))}</div>" for note in notes)
    title = f"<b>{plan.placement.title.capitalize()}</b>: "
    reason = escape(panel_words(plan.reason))
    if plan.options.cautious and not plan.fits:  # the reason names the tier already
        title, reason = "", reason[:1].upper() + reason[1:]
    region = 'class="cogmagic-plan" tabindex="0" role="region" aria-label="Plan"'
    return f"<div {region}><div>{title}{reason}.</div>{table}{lines}</div>"


def run_note(plan: Plan) -> str:
    """What a person should know before a run of this plan: its time, risk and download."""
    notes = [] if plan.seconds is None else [f"A clip takes {about(plan.seconds)}."]
    if plan.chosen and not plan.fits:
        notes.append(f"Generate tries {plan.placement.title}, although it {plan.chosen.reason}.")
    if plan.download:
        notes.append(f"Generate downloads {download_words(plan)} first.")
    for adapter in plan.request.loras:
        if adapter.download:
            size = f"{adapter.download / 1e6:,.1f} MB"
            notes.append(f"Generate downloads {adapter.name} ({size}) first.")
    return " ".join(notes)


def download_words(plan: Plan) -> str:
    """The download that a run of this plan begins with, as in ``21.5 GB from owner/name``."""
    return f"{plan.download / 1e9:.1f} GB from {plan.request.model.source}"


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
