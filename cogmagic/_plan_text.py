"""A plan for people and for programs: the table, JSON, and which cards would do."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cogmagic._report import gib

if TYPE_CHECKING:
    from cogmagic._plan import Candidate, Plan

__all__ = ["as_json", "table", "which_gpu"]

_MEANING = {
    "none": "every component on the device",
    "model": "one whole component on the GPU at a time",
    "stream": "blocks copied from page-locked memory while others compute",
    "staged": "each component from its files to the GPU when it is needed, then gone",
    "sequential": "each layer on the GPU only while it runs",
    "balanced": "whole components spread over the GPUs, no offload",
}
_COLUMNS = "  {:<12} {:>10} {:>10} {:>8} {:>8}  {}"


def table(plan: Plan) -> str:
    """The plan as text: one line a tier, then why, the rule, and what would change it."""
    r = plan.request
    heads = _COLUMNS.format("tier", "VRAM", "RAM", "s/step", "total", "fits").rstrip()
    lines = [heads] if plan.candidates else []
    for candidate in plan.candidates:
        mark = "→" if candidate.tier == plan.tier else " "
        lines.append(mark + _row(candidate)[1:])
    lines += [
        f"tier     {plan.tier}: {_MEANING[plan.tier]}",
        f"why      {plan.reason}",
        f"rule     {plan.rule} ({plan.rule_reason})",
        *(f"change   {change}" for change in plan.changes),
        *(f"warning  {warning}" for warning in plan.warnings),
        f"model    {r.model.name} ({r.model.source}), {plan.dtype} on {plan.where}",
        f"request  {r.num_frames} frames of {r.size} at {r.fps} fps, "
        f"{r.num_inference_steps} steps of {r.scheduler}, guidance {r.guidance_scale:g}",
        "VAE      slicing and tiling on",
    ]
    if plan.times:
        lines.append(f"times    {plan.times}")
    if plan.savings.names:
        lines.append(f"savings  {plan.savings.flags}")
    if not plan.text:
        lines.append("text     kept from an earlier run: its encoder is not needed")
    if plan.loaded:
        lines.append("weights  in host memory from an earlier run: not read again")
    if plan.download:
        lines.append(f"download {plan.download / 1e9:.1f} GB from the hub, first")
    return "\n".join(lines)


def _row(c: Candidate) -> str:
    fits = "yes" if c.fits else f"no, {c.reason}"
    step, total = seconds(c.step_seconds), seconds(c.seconds)
    fits += f", {c.needs.resident_blocks} blocks stay" if c.needs.resident_blocks else ""
    return _COLUMNS.format(c.tier, gib(c.peak_vram), gib(c.peak_ram), step, total, fits)


def seconds(value: float | None) -> str:
    """Seconds for people: ``1.88``, ``94 s``, ``12 min``, or ``n/a``."""
    if value is None:
        return "n/a"
    if value < 10:
        return f"{value:.2f} s"
    return f"{value:.0f} s" if value < 600 else f"{value / 60:.0f} min"


def as_json(plan: Plan) -> str:
    """The plan as JSON: bytes and seconds, null where unknown."""
    r = plan.request
    return json.dumps(
        {
            "tier": plan.tier,
            "fits": plan.fits,
            "reason": plan.reason,
            "peak_vram": plan.peak_vram,
            "peak_allocated": plan.peak_allocated,
            "peak_ram": plan.peak_ram,
            "seconds": plan.seconds,
            "step_seconds": plan.step_seconds,
            "rule": plan.rule,
            "device": plan.device,
            "dtype": plan.dtype,
            "model": r.model.name,
            "width": r.width,
            "height": r.height,
            "num_frames": r.num_frames,
            "num_inference_steps": r.num_inference_steps,
            "download": plan.download,
            "savings": list(plan.savings.names),
            "changes": list(plan.changes),
            "warnings": list(plan.warnings),
            "times": plan.times or None,
            "candidates": [_plain(c) for c in plan.candidates],
        },
        indent=2,
    )


def _plain(c: Candidate) -> dict[str, Any]:
    return {
        "tier": c.tier,
        "fits": c.fits,
        "reason": c.reason,
        "peak_vram": c.peak_vram,
        "peak_allocated": c.peak_allocated,
        "peak_ram": c.peak_ram,
        "seconds": c.seconds,
        "step_seconds": c.step_seconds,
        "resident_blocks": c.needs.resident_blocks,
        "missing_vram": c.missing_vram,
        "missing_ram": c.missing_ram,
        "missing_disk": c.missing_disk,
    }


def which_gpu(plan_for: Callable[[str], Plan], cards: tuple[str, ...]) -> str:
    """One line a card that can do it, the slowest first, with its tier and its time.

    Args:
        plan_for: the plan on the card of that name; may raise what `plan` raises.
        cards: the names to ask for.
    """
    from cogmagic._errors import CogMagicError

    found, left_out = [], 0
    for name in cards:
        try:
            plan = plan_for(name)
        except CogMagicError:  # no bfloat16, for one
            left_out += 1
            continue
        if plan.fits:
            found.append((plan.seconds or 0.0, name, plan))
        else:
            left_out += 1
    found.sort(key=lambda row: -row[0])
    form = "{:<26} {:<12} {:>10} {:>8} {:>8}"
    lines = [form.format("card", "tier", "VRAM", "s/step", "total")]
    for total, name, plan in found:
        step = seconds(plan.step_seconds)
        lines.append(form.format(name, plan.tier, gib(plan.peak_vram), step, seconds(total)))
    if left_out:
        lines.append(f"{left_out} of {len(cards)} known cards cannot do it.")
    lines.append(
        "Times follow from datasheets, figures measured on an H100 and published ones for an A100."
    )
    return "\n".join(lines)
