"""A plan as JSON."""

from __future__ import annotations

import json
from typing import Any

from cogmagic._planning.candidate import Candidate
from cogmagic._planning.plan import Plan
from cogmagic._planning.speed_times import SpeedTime

__all__ = ["as_json"]


def as_json(plan: Plan) -> str:
    """The plan as JSON: bytes and seconds, null where unknown."""
    r = plan.request
    return json.dumps(
        {
            "tier": plan.tier,
            "fits": plan.fits,
            "reason": plan.reason,
            "refusal": plan.refusal or None,
            "peak_vram": plan.peak_vram,
            "peak_allocated": plan.peak_allocated,
            "peak_ram": plan.peak_ram,
            "seconds": plan.seconds,
            "step_seconds": plan.step_seconds,
            "split": {"guidance": plan.split.guidance, "sequence": plan.split.sequence},
            "ranks": list(plan.ranks),
            "peaks": list(plan.peaks),
            "peaks_allocated": list(plan.peaks_allocated),
            "parallel": plan.parallel or None,
            "rule": plan.rule,
            "device": plan.device,
            "dtype": plan.dtype,
            "model": r.model.name,
            "width": r.width,
            "height": r.height,
            "num_frames": r.num_frames,
            "num_inference_steps": r.num_inference_steps,
            "guided_steps": len(r.guided_steps),
            "guidance_from": r.guidance_from,
            "guidance_until": r.guidance_until,
            "timesteps": list(r.timesteps),
            "strength": r.strength,
            "preset": r.preset or None,
            "seconds_without_preset": plan.seconds_without_preset,
            "loras": [
                {"name": a.name, "weight": a.weight, "licence": a.licence, "download": a.download}
                for a in r.loras
            ],
            "download": plan.download,
            "savings": list(plan.options.savings.names),
            "speed": plan.options.speed,
            "storage": plan.savings.storage,
            "speedups": list(plan.speedups.names),
            "remarks": list(plan.remarks),
            "speeds": [_speed(time) for time in plan.speeds.times],
            "changes": list(plan.changes),
            "warnings": list(plan.warnings),
            "times": plan.times or None,
            "candidates": [_candidate(c) for c in plan.candidates],
        },
        indent=2,
    )


def _speed(time: SpeedTime) -> dict[str, Any]:
    return {
        "speed": time.name,
        "tier": time.tier,
        "seconds": time.seconds,
        "seconds_from_the_second_clip": time.again,
    }


def _candidate(c: Candidate) -> dict[str, Any]:
    return {
        "tier": c.tier,
        "fits": c.fits,
        "reason": c.reason,
        "peak_vram": c.peak_vram,
        "peak_allocated": c.peak_allocated,
        "peak_ram": c.peak_ram,
        "seconds": c.seconds,
        "step_seconds": c.step_seconds,
        "compile_seconds": c.compile_seconds,
        "resident_blocks": c.needs.variant.resident_blocks,
        "missing_vram": c.missing_vram,
        "missing_ram": c.missing_ram,
        "missing_disk": c.missing_disk,
        "missing_addresses": c.missing_addresses,
    }
