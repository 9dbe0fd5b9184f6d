"""A plan as a value: the chosen tier, what it takes, and how the others compare."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from cogmagic._footprint.savings import NO_SAVINGS, Savings
from cogmagic._models.catalog import Dtype
from cogmagic._models.request import Request
from cogmagic._tiers.needs import Needs, Tier
from cogmagic._units import GIB, gib, seconds

__all__ = ["Candidate", "Plan", "as_json", "table"]


@dataclass(frozen=True)
class Candidate:
    """One tier as it would be for the request: what it takes, and whether there is that much."""

    needs: Needs
    """As predicted, corrected by past runs."""
    traced: Needs
    """As predicted before that, which new runs are compared with."""
    peak_vram: int | None
    """VRAM that must be free or cached: the allocator's share and, if it is still to come, the
    CUDA context; None where nothing is placed on a GPU."""
    missing_vram: int = 0
    missing_ram: int = 0
    missing_disk: int = 0
    """Where the hub's cache is, for what is still to be downloaded."""

    @property
    def tier(self) -> Tier:
        """The tier's name."""
        return self.needs.tier

    @property
    def peak_allocated(self) -> int | None:
        """Most bytes of tensors at once on one GPU, as ``max_memory_allocated`` tells it."""
        return None if self.peak_vram is None else self.needs.peak_allocated

    @property
    def peak_ram(self) -> int:
        """Most host memory of the process's own; mapped files are not in it."""
        return self.needs.peak_ram

    @property
    def seconds(self) -> float | None:
        """The whole run, or None where the device's speed is unknown."""
        return self.needs.seconds

    @property
    def step_seconds(self) -> float | None:
        """One denoising step, or None where the device's speed is unknown."""
        return self.needs.step_seconds

    @property
    def fits(self) -> bool:
        """Whether it is predicted to run."""
        return not (self.missing_vram or self.missing_ram or self.missing_disk)

    @property
    def lacking(self) -> int:
        """How much is missing of everything, in bytes, to compare by."""
        return self.missing_vram + self.missing_ram + self.missing_disk

    @property
    def lack(self) -> str:
        """What is missing, for people; empty when it fits."""
        parts = {"VRAM": self.missing_vram, "RAM": self.missing_ram, "disk": self.missing_disk}
        return " and ".join(f"{_up(lack)} of {kind}" for kind, lack in parts.items() if lack)

    @property
    def reason(self) -> str:
        """``fits``, or what it lacks."""
        return "fits" if self.fits else f"lacks {self.lack}"


def _up(nbytes: int) -> str:
    """GiB rounded up: so much more is enough."""
    return gib(math.ceil(nbytes / GIB * 100) * GIB // 100)


@dataclass(frozen=True)
class Plan:
    """The chosen tier, what it takes, and how the others compare. Bytes and seconds."""

    request: Request
    candidates: tuple[Candidate, ...]
    """Every tier that the machine can do, the fastest first."""
    tier: Tier
    reason: str
    """One sentence."""
    device: str
    """The device type that computes: ``cuda``, ``mps`` or ``cpu``."""
    dtype: Dtype
    rule: Tier
    """What the published rule says, whatever was chosen."""
    rule_reason: str
    where: str
    """The device that was planned for, in words."""
    gpu: int | None = None
    """Torch's index of the GPU that a run on one takes."""
    changes: tuple[str, ...] = ()
    """What would make a faster tier fit, or any."""
    warnings: tuple[str, ...] = ()
    """What may go wrong although it fits, and what of it rests on no measurement."""
    times: str = ""
    """What the seconds rest on; empty where there are none."""
    download: int = 0
    """Bytes that must come from the hub first."""
    text: bool = True
    """Whether the prompts are still to be encoded; else their embeddings are kept."""
    loaded: bool = False
    """Whether the weights are in host memory, so that most tiers read no file."""
    savings: Savings = NO_SAVINGS
    """What is done to need less memory."""

    @property
    def chosen(self) -> Candidate | None:
        """The candidate of the chosen tier; None where nothing is predicted for it."""
        return next((c for c in self.candidates if c.tier == self.tier), None)

    @property
    def gpus(self) -> tuple[int, ...]:
        """Torch's indices of the GPUs that it would use."""
        if self.chosen and self.chosen.needs.order:
            return self.chosen.needs.order
        return () if self.gpu is None else (self.gpu,)

    @property
    def fits(self) -> bool:
        """Whether the chosen tier is predicted to run, or nothing is predicted for it."""
        return self.chosen is None or self.chosen.fits

    @property
    def peak_vram(self) -> int | None:
        """VRAM that must be free for it, the allocator's overhead and the context included."""
        return self.chosen.peak_vram if self.chosen else None

    @property
    def peak_allocated(self) -> int | None:
        """Most bytes of tensors at once on one GPU, as ``max_memory_allocated`` tells it."""
        return self.chosen.peak_allocated if self.chosen else None

    @property
    def peak_ram(self) -> int | None:
        """Most host memory of the process's own; mapped files are not in it."""
        return self.chosen.peak_ram if self.chosen else None

    @property
    def seconds(self) -> float | None:
        """The whole run, or None where the device's speed is unknown."""
        return self.chosen.seconds if self.chosen else None

    @property
    def step_seconds(self) -> float | None:
        """One denoising step, or None where the device's speed is unknown."""
        return self.chosen.step_seconds if self.chosen else None

    def __str__(self) -> str:
        return table(self)


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
