"""Which tier a request gets on a machine, and why. Pure: nothing is read, nothing is loaded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from cogmagic._catalog import Dtype
from cogmagic._errors import TierError, did_you_mean
from cogmagic._gpu import GIB
from cogmagic._machine import Machine
from cogmagic._request import Request

__all__ = ["TIERS", "Plan", "Tier", "plan", "rule_of_thumb"]

Tier = Literal["none", "model", "sequential", "balanced"]
TIERS: tuple[Tier, ...] = get_args(Tier)

MEANING: dict[Tier, str] = {
    "none": "every component on the device",
    "model": "one whole component on the GPU at a time",
    "sequential": "each layer on the GPU only while it runs",
    "balanced": "whole components spread over the GPUs, no offload",
}


@dataclass(frozen=True)
class Plan:
    """The chosen tier and the reason, in one sentence."""

    request: Request
    tier: Tier
    reason: str
    device: str
    """The device type that computes: ``cuda``, ``mps`` or ``cpu``."""
    dtype: Dtype
    rule: Tier
    """What the published rule says, whatever was chosen."""

    def __str__(self) -> str:
        r = self.request
        return "\n".join(
            (
                f"tier     {self.tier}: {MEANING[self.tier]}",
                f"why      {self.reason}",
                f"model    {r.model.name} ({r.model.source}), {self.dtype} on {self.device}",
                f"request  {r.num_frames} frames of {r.size} at {r.fps} fps, "
                f"{r.num_inference_steps} steps of {r.scheduler}, guidance {r.guidance_scale:g}",
                "VAE      slicing and tiling on",
            )
        )


def rule_of_thumb(machine: Machine) -> tuple[Tier, str]:
    """The published rule as it stands, and the sentence that explains it.

    It goes by the free VRAM, rounded up to whole GiB, of the one GPU: under 16 sequential, 16 to 24
    model offload, over 24 none; on several GPUs all offload is off and components are balanced.
    Without a GPU, and on MPS, it is silent. Source: "Zai org CogVideo CPU Offload Strategy"
    (2026-02-10), which reads it out of zai-org/CogVideo.
    """
    if machine.device != "cuda" or not machine.gpus:
        where = "on MPS" if machine.device == "mps" else "no GPU"
        return "none", f"{where}: nothing is offloaded"
    if len(machine.gpus) > 1:
        return "balanced", f"{len(machine.gpus)} GPUs: components are spread, all offload is off"
    gpu = machine.gpus[0]
    if gpu.available is None:
        return "sequential", f"{gpu.name} does not tell its free VRAM: the safe end of the rule"
    free = math.ceil(gpu.available / GIB)
    said = f"{gpu.available / GIB:.1f} GiB of VRAM available, which counts as {free}"
    if free < 16:
        return "sequential", f"{said}: under 16"
    if free <= 24:
        return "model", f"{said}: 16 to 24"
    return "none", f"{said}: over 24"


def plan(request: Request, machine: Machine, *, tier: str | None = None) -> Plan:
    """Choose the tier for `request` on `machine`, or check the one that was asked for.

    Raises:
        TierError: when `tier` does not exist or this machine cannot do it.
    """
    rule, reason = rule_of_thumb(machine)
    chosen: Tier = rule
    if tier is not None and tier != "auto":
        chosen = _forced(tier, machine)
        reason = f"asked for; the rule says {rule} ({reason})" if chosen != rule else reason
    # CPUs run 16-bit 3D convolutions some hundred times slower than 32-bit ones.
    default: Dtype = "float32" if machine.device == "cpu" else request.model.dtype
    return Plan(request, chosen, reason, machine.device, request.dtype or default, rule)


def _forced(tier: str, machine: Machine) -> Tier:
    found: Tier | None = next((t for t in TIERS if t == tier), None)
    if found is None:
        raise TierError(
            f"Unknown tier {tier!r}.{did_you_mean(tier, TIERS)}"
            f" Choose from: auto, {', '.join(TIERS)}."
        )
    if found == "balanced" and len(machine.gpus) < 2:
        count = len(machine.gpus)
        raise TierError(
            f"Tier 'balanced' spreads components over several GPUs, but this machine has {count}."
            f" Use --tier {rule_of_thumb(machine)[0]}."
        )
    if machine.device == "mps" and found == "sequential":
        raise TierError("Tier 'sequential' does not work on MPS. Use --tier none.")
    return found
