"""What a tier needs for a request: VRAM per phase, host memory, seconds. Pure arithmetic.

The phases follow the pipeline: encode the text, then the image, denoise, decode. A tier decides
which components are on the device in each of them; the `Footprint` has what activations take.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from cogmagic._footprint.compiled import with_speedups
from cogmagic._tiers.base import ONE_GPU, Phases, Tier, Variant
from cogmagic._tiers.loading import NOTHING_READ, Loading, loading, save_seconds
from cogmagic._tiers.workload import Workload
from cogmagic._units import GIB, MIB

__all__ = ["Needs", "allocatable", "predict", "reserved_bytes", "workspace"]


@dataclass(frozen=True)
class Needs:
    """What one tier takes for one request; bytes and seconds."""

    tier: str
    gpus: tuple[Phases, ...]
    """For each GPU in use, the most bytes of tensors in each phase."""
    peak_ram: int
    """Most host memory of the process's own, memory-mapped files not counted; of all processes,
    where several make the video together."""
    step_seconds: float | None
    """One denoising step; None where the device's speed is unknown."""
    seconds: float | None
    """The whole run: loading, encoding, denoising, decoding, saving."""
    variant: Variant = ONE_GPU
    """The tier's choices."""
    copies: bool = False
    """Whether the weights are copies in host memory, not memory-mapped files."""
    mapped: int = 0
    """Bytes of memory-mapped files besides `peak_ram`; only limits on addresses count them."""
    loading: Loading = NOTHING_READ
    """What is read before the first step."""
    beside: int = 0
    """Bytes of `peak_ram` that other processes take: other ranks, and the kernel beside them."""
    next_seconds: float | None = None
    """`seconds` of the next clip in this kernel, for which weights in host memory are not loaded
    again; None where it is unknown."""

    @property
    def peak_allocated(self) -> int:
        """The highest phase, as ``torch.cuda.max_memory_allocated`` reports it."""
        return max(max(phases.values()) for phases in self.gpus)


def predict(tier: Tier, work: Workload, variant: Variant) -> Needs:
    """What `tier` takes for `work` in one of its variants."""
    running = _in_tier(tier, work)
    phases = tier.phases(running.active, work.overhead, variant)
    if work.lean_decode:
        phases = tuple({_LEAN.get(name, name): n for name, n in p.items()} for p in phases)
    if work.load_vram and tier.weights == "host":
        phases = tuple({**p, "load": max(p.get("load", 0), work.load_vram)} for p in phases)
    host = tier.host_memory(work)
    needs = Needs(
        tier.name, phases, host.peak, None, None, variant, copies=host.copies, mapped=host.mapped
    )
    if work.rates is None:
        return needs
    step, total = tier.seconds(running, work.rates, variant, host)
    read = loading(work, tier.weights, host)
    total += save_seconds(work)
    later = loading(replace(work, loaded=work.stays, first_run=False), tier.weights, host)
    return replace(
        needs,
        step_seconds=step,
        seconds=total + read.seconds(work.rates),
        next_seconds=total + later.seconds(work.rates),
        loading=read,
    )


def _in_tier(tier: Tier, work: Workload) -> Workload:
    """The workload with the footprint that the tier and the speedups make of it."""
    active = work.stored if tier.weights == "gpus" else work.active  # its loader places all
    return replace(
        work,
        active=with_speedups(active, work.speedups, work.storage),
        unguided=work.unguided and _in_tier(tier, work.unguided),
    )


def workspace(capability: tuple[int, int] | None) -> int:
    """Bytes of cuBLAS's workspace, which torch's allocator holds from the first product on.

    32 MiB on Hopper and later, else 8 MiB and 128 KiB (PyTorch, "CUDA semantics", cuBLAS
    workspaces), and the small tensors of the scheduler.
    """
    hopper = capability is not None and capability[0] >= 9
    return (33 if hopper else 9) * MIB


_FRAGMENTATION = {"decode": round(0.6 * GIB), "encode video": round(0.6 * GIB)}
_LEAN = {"decode": "lean decode"}
"""The name of decoding that keeps fewer tensors alive, and so loses less to fragmentation: 2.79 GiB
reserved for 2.50 allocated (docs/benchmarks/savings.jsonl)."""
_LEAST_FRAGMENTATION = round(0.15 * GIB)


def reserved_bytes(phases: Mapping[str, int]) -> int:
    """The smallest cap on torch's allocator under which each phase can have its peak.

    With expandable segments; what is lost lies between the blocks of the VAE's convolutions, so it
    hardly grows with the weights, and other phases lose little. Under caps on an H100, 5b in
    `sequential` (3.80 GiB allocated, in decoding) runs out at 4.30 GiB and takes 4.42 where it may;
    in `none` (23.45) it runs at 24.69, 2b in `none` (18.36) at 19.30; 1.5-5b in `sequential` (6.89,
    in denoising) at 7.30, 2b in `model` (10.84, in encoding) at 11.30 (docs/benchmarks/caps.jsonl).
    """
    return max(
        round(peak * 1.02) + (_FRAGMENTATION.get(name, _LEAST_FRAGMENTATION) if peak else 0)
        for name, peak in phases.items()
    )


def allocatable(cap: int) -> int:
    """The most bytes that tensors can have under a cap on torch's allocator, in any phase."""
    return max(round((cap - _LEAST_FRAGMENTATION) / 1.02), 0)
