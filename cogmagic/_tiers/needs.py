"""What each tier needs for a request: VRAM per phase, host memory, seconds. Pure arithmetic.

The phases follow the pipeline: encode the text, then the image, denoise, decode. What is on the
device in each of them is the tier's doing; what an activation takes is the `Footprint`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from cogmagic._footprint.footprint import Footprint
from cogmagic._footprint.savings import NO_SAVINGS, Savings
from cogmagic._machine.rates import Rates
from cogmagic._models.catalog import Dtype
from cogmagic._models.request import Request
from cogmagic._tiers.host_memory import host_memory
from cogmagic._tiers.pace import mapped, on_disk, run_seconds
from cogmagic._tiers.phases import PHASES, balanced, stream, without_text, workspace
from cogmagic._units import GIB

__all__ = ["TIERS", "Needs", "Tier", "allocatable", "needs", "reserved_bytes"]


Tier = Literal["none", "model", "stream", "staged", "sequential", "balanced"]


TIERS: tuple[Tier, ...] = get_args(Tier)


@dataclass(frozen=True)
class Needs:
    """What one tier takes for one request; bytes and seconds."""

    tier: Tier
    gpus: tuple[Mapping[str, int], ...]
    """For each GPU in use, the most bytes of tensors in each phase."""
    peak_ram: int
    """Most host memory of the process's own, mapped files not counted."""
    step_seconds: float | None
    """One denoising step; None where the device's speed is not known."""
    seconds: float | None
    """The whole run, reading the weights from disk included."""
    resident_blocks: int = 0
    """Blocks of the transformer that stay on the device in `stream`."""
    copies: bool = False
    """Whether host memory has room for weights that are copies, not mapped files."""
    order: tuple[int, ...] = ()
    """For `balanced`, torch's indices of `gpus`."""

    @property
    def peak_allocated(self) -> int:
        """The highest phase, as ``torch.cuda.max_memory_allocated`` would tell it."""
        return max(max(phases.values()) for phases in self.gpus)


def needs(
    tier: Tier,
    request: Request,
    footprint: Footprint,
    rates: Rates | None,
    *,
    capability: tuple[int, int] | None,
    dtype: Dtype,
    kept_float32: int = 0,
    ram: int | None = None,
    resident_blocks: int = 0,
    text: bool = True,
    gpus: int = 1,
    savings: Savings = NO_SAVINGS,
    copies: bool = True,
    reads: bool = True,
) -> Needs:
    """Predict one tier.

    Args:
        tier: the placement.
        request: what to generate.
        footprint: its phases, in `dtype`; with weights as the files have them.
        rates: the device's speed, if known.
        capability: the GPU's compute capability, if known.
        dtype: what the weights are loaded in.
        kept_float32: bytes of the text encoder that the loader keeps in float32 beside `dtype`.
        ram: host memory available, if known: what it cannot cache is read from disk again.
        resident_blocks: the transformer's blocks that stay on the device in `stream`.
        text: whether the prompts are still to be encoded; else their encoder stays off the device.
        gpus: how many there are, for `balanced`.
        savings: what is done to need less.
        copies: whether weights are to be copies, where there is room.
        reads: whether the weights come from files, not from host memory where they are.
    """
    extra, small = workspace(capability), savings.shrunk(footprint)
    used = small if text or tier == "balanced" else without_text(small)
    phases: tuple[Mapping[str, int], ...]
    if tier == "balanced":
        phases = balanced(used, extra, gpus)
    elif tier == "stream":
        phases = (stream(used, extra, resident_blocks),)
    else:
        phases = (PHASES[tier](used, extra),)
    if savings.lean_decode:
        phases = tuple({_LEAN.get(name, name): n for name, n in p.items()} for p in phases)
    host, copied = host_memory(
        tier,
        request,
        small,
        dtype,
        kept_float32=kept_float32,
        fp8=savings.fp8,
        ram=ram,
        copies=copies,
    )
    if rates is None:
        return Needs(tier, phases, host, None, None, resident_blocks, copied)
    halves = savings.guidance_halves and request.guidance_scale > 1.0
    passes = 2 if halves else 1
    step, total = run_seconds(
        tier, request, used, rates, resident_blocks, passes=passes, locked=copied
    )
    is_mapped = mapped(request, dtype) and not savings.fp8
    cached = footprint.transformer.weights if is_mapped and not copied else 0
    if tier == "sequential" and ram is not None and ram - host < cached:
        # Read round and round, a file larger than its cache is never in it when it is wanted.
        again = passes * cached / rates.disk
        step, total = step + again, total + request.num_inference_steps * again
    total += on_disk(request, footprint, dtype) / rates.disk if reads else 0.0
    return Needs(tier, phases, host, step, total, resident_blocks, copied)


_SLACK = {"decode": round(0.6 * GIB)}


_LEAN = {"decode": "lean decode"}
"""What decoding is called where it keeps less alive, and so loses less: 2.79 GiB reserved for 2.50
allocated (docs/benchmarks/savings.jsonl)."""


_LEAST_SLACK = round(0.15 * GIB)


def reserved_bytes(phases: Mapping[str, int]) -> int:
    """The smallest cap on torch's allocator under which so much can be had at once in each phase.

    With expandable segments; what is lost lies between the blocks of the VAE's convolutions, so it
    hardly grows with the weights, and other phases lose little. Under caps on an H100, 5b in
    `sequential` (3.80 GiB allocated, in decoding) runs out at 4.30 GiB and takes 4.42 where it may;
    in `none` (23.45) it runs at 24.69, 2b in `none` (18.36) at 19.30; 1.5-5b in `sequential` (6.89,
    in denoising) at 7.30, 2b in `model` (10.84, in encoding) at 11.30 (docs/benchmarks/caps.jsonl).
    """
    return max(
        round(peak * 1.02) + (_SLACK.get(name, _LEAST_SLACK) if peak else 0)
        for name, peak in phases.items()
    )


def allocatable(cap: int) -> int:
    """The most bytes at once that can be had under a cap on torch's allocator, in any phase."""
    return max(round((cap - _LEAST_SLACK) / 1.02), 0)
