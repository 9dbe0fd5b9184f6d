"""Tier ``balanced``: whole components on several GPUs, no offload.

The components are given to the two or three GPUs that leave most VRAM beside weights and
activations, whatever diffusers' own assignment would have chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogmagic._footprint.footprint import Footprint
from cogmagic._footprint.savings import Savings
from cogmagic._machine.gpu import Gpu
from cogmagic._machine.machine import Machine
from cogmagic._models.model import Dtype
from cogmagic._models.seen import encoded_clips
from cogmagic._pipeline.spec import PipelineSpec
from cogmagic._tiers.base import Assess, Phases, Placement, Tier, Variant
from cogmagic._tiers.host_memory import HostMemory, passing_through
from cogmagic._tiers.workload import Workload

if TYPE_CHECKING:
    from cogmagic._tiers.host_copy import HostCopy

__all__ = ["Balanced", "orders", "usable"]


class Balanced(Tier):
    """diffusers' ``device_map="balanced"``, with a map that leaves headroom for activations."""

    name = "balanced"
    title = "balanced"
    meaning = "whole components spread over the GPUs, no offload"
    devices = frozenset({"cuda"})
    weights = "gpus"
    offloads = False
    on_gpu = True
    several_gpus = True

    def refusal(self, machine: Machine, dtype: Dtype | None = None) -> str:
        """It takes two GPUs that compute in `dtype`."""
        count = len(machine.gpus) if dtype is None else len(usable(machine, dtype))
        if count >= 2:
            return super().refusal(machine, dtype)
        able = f" that can compute in {dtype}" if dtype else ""
        return (
            f"Tier {self.name!r} spreads components over several GPUs, but"
            f" {count or 'none'}{able} may be used. Use --tier auto."
        )

    def accepts(self, savings: Savings) -> bool:
        """Not what works on a placed component: the loader has hooks of its own."""
        return not (savings.stored_as or savings.lean_decode)

    def choose(self, work: Workload, machine: Machine, assess: Assess) -> Variant | None:
        """With the order of GPUs that lacks least, and of those that fit, leaves most.

        None with a video to begin from, which is encoded on one GPU and noised on another.
        """
        if encoded_clips(work.request):
            return None
        variants = [Variant(order=o) for n in (2, 3) for o in orders(machine, work.dtype, n)]
        fits = {variant: assess(variant) for variant in variants}
        return max(variants, key=lambda v: (-fits[v].missing, fits[v].left), default=None)

    def phases(self, f: Footprint, overhead: int, variant: Variant) -> tuple[Phases, ...]:
        """Each GPU's phases: the largest component on the first, the next on the next, and so on.

        As diffusers assigns them (``_assign_components_to_devices``).
        """
        parts = {
            "encode": (f.text_encoder.weights, f.encode),
            "denoise": (f.transformer.weights, f.denoise),
            "decode": (f.vae.weights, f.decode),
        }
        gpus: list[list[str]] = [[] for _ in range(min(len(variant.order), len(parts)))]
        for i, phase in enumerate(sorted(parts, key=lambda p: -parts[p][0])):
            gpus[min(i, len(gpus) - 1)].append(phase)
        peaks = []
        for phases in gpus:
            weights = sum(parts[phase][0] for phase in phases)
            own = {phase: weights + parts[phase][1].peak + overhead for phase in phases}
            peaks.append({"load": weights} | own)
        return tuple(peaks)

    def host_memory(self, work: Workload) -> HostMemory:
        """The loaders' buffers: weights go from the files to the GPUs."""
        return passing_through(work)

    def check_load(self, folder: Path, dtype: Dtype, machine: Machine, variant: Variant) -> None:
        """Try diffusers' assignment without loading."""
        from cogmagic._tiers.device_map import check_assignment

        check_assignment(folder, dtype, machine, _order(machine, variant))

    def load(self, spec: PipelineSpec, machine: Machine, variant: Variant) -> Any:
        """A pipeline on the GPUs."""
        from cogmagic._tiers.device_map import load_balanced

        order = _order(machine, variant)
        return load_balanced(spec, machine, order)

    def place(self, pipe: Any, placement: Placement, host: HostCopy, undo: ExitStack) -> None:
        """Nothing: `load` has placed it."""


def usable(machine: Machine, dtype: Dtype) -> tuple[Gpu, ...]:
    """The GPUs that can compute in `dtype`."""
    return tuple(g for g in machine.gpus if dtype != "bfloat16" or g.bf16 is not False)


def orders(machine: Machine, dtype: Dtype, count: int) -> Sequence[tuple[int, ...]]:
    """Every way to give the largest component to one GPU, the next to another and so on.

    Only of the GPUs with most free VRAM: less would do no better.
    """
    roomiest = sorted(usable(machine, dtype), key=lambda g: -(g.room or 0))
    return list(permutations([g.index for g in roomiest[:count]], count))


def _order(machine: Machine, variant: Variant) -> tuple[int, ...]:
    """The planned order, or the two GPUs with most free VRAM where none was planned."""
    roomiest = sorted(machine.gpus, key=lambda g: g.room or 0, reverse=True)
    return variant.order or tuple(g.index for g in roomiest[:2])
