"""The published rule of thumb, as it stands, and the tier that the options name with it."""

from __future__ import annotations

import math

from cogmagic._machine.machine import Machine
from cogmagic._planning.memory_options import MemoryOptions
from cogmagic._tiers.base import Tier
from cogmagic._tiers.registry import TIERS
from cogmagic._units import GIB

__all__ = ["named_tier", "rule_of_thumb"]


def rule_of_thumb(machine: Machine) -> tuple[str, str]:
    """The tier that the published rule chooses, and why.

    It goes by the free VRAM, rounded up to whole GiB, of the one GPU: under 16 sequential, 16 to 24
    model offload, over 24 none; on several GPUs all offload is off and components are balanced.
    Without a GPU, and on MPS, it is silent. Source: "Zai org CogVideo CPU Offload Strategy"
    (2026-02-10), which derives it from zai-org/CogVideo.
    """
    if machine.device != "cuda" or not machine.gpus:
        where = "on MPS" if machine.device == "mps" else "no GPU"
        return "none", f"{where}: nothing is offloaded"
    if len(machine.gpus) > 1:
        return "balanced", f"{len(machine.gpus)} GPUs: components are spread, all offload is off"
    gpu = machine.gpus[0]
    if gpu.available is None:
        return "sequential", f"{gpu.name} does not report its free VRAM: the safe end of the rule"
    free = math.ceil(gpu.available / GIB)
    amount = f"{gpu.available / GIB:.1f} GiB of VRAM available, which counts as {free}"
    if free < 16:
        return "sequential", f"{amount}: under 16"
    if free <= 24:
        return "model", f"{amount}: 16 to 24"
    return "none", f"{amount}: over 24"


def named_tier(options: MemoryOptions, machine: Machine) -> Tier | None:
    """The tier that was asked for, by name or by the rule; None where the planner chooses."""
    if options.forced is None and options.policy == "rule":
        return TIERS[rule_of_thumb(machine)[0]]
    return options.forced
