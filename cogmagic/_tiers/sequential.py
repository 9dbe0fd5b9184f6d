"""Tier ``sequential``, sequential offload: each layer on the GPU only while it runs."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cogmagic._footprint.footprint import Footprint
from cogmagic._machine.rates import Rates
from cogmagic._tiers.base import Phases, Placement, Tier, Variant, encoding_video
from cogmagic._tiers.host_memory import HostMemory
from cogmagic._tiers.plain_pace import Pace, layer_seconds
from cogmagic._tiers.weight_files import stored_as_files
from cogmagic._tiers.workload import Workload

if TYPE_CHECKING:
    from cogmagic._tiers.host_copy import HostCopy

__all__ = ["SequentialOffload"]


class SequentialOffload(Tier):
    """diffusers' ``enable_sequential_cpu_offload``."""

    name = "sequential"
    title = "sequential offload"
    meaning = "each layer on the GPU only while it runs"
    devices = frozenset({"cuda", "cpu"})
    compiles = False

    def phases(self, f: Footprint, overhead: int, variant: Variant) -> tuple[Phases, ...]:
        """Activations and one leaf module's weights."""
        image = f.encode_image.leaf_peak if f.encode_image else 0
        return (
            {
                "load": 0,
                "encode": max(f.encode.leaf_peak + overhead, f.lookup.leaf_peak),
                "denoise": max(f.denoise.leaf_peak, image) + overhead,
                "decode": f.decode.leaf_peak + overhead,
            }
            | encoding_video(f, overhead, leaves=True),
        )

    def pace(self, work: Workload, rates: Rates, variant: Variant, host: HostMemory) -> Pace:
        """Every pass copies every layer and maps fresh memory for every activation."""
        f, plain, locked = work.active, super().pace(work, rates, variant, host), host.copies
        step = plain.step + work.passes * layer_seconds(f.transformer, rates, locked=locked)
        step += f.denoise.mapped / rates.mapping
        encode = plain.encode + work.prompts * layer_seconds(f.text_encoder, rates, locked=locked)
        encode += work.prompts * f.encode.mapped / rates.mapping
        clip = plain.video
        if video := f.encode_video:
            clip += video.calls * layer_seconds(f.vae, rates, locked=locked)
            clip += video.mapped / rates.mapping
        decode = plain.decode + f.decode.calls * layer_seconds(f.vae, rates, locked=locked)
        decode += f.decode.mapped / rates.mapping
        return replace(plain, onload=0, encode=encode, video=clip, decode=decode,
                       step=step + _reread(work, rates, host))  # fmt: skip

    def place(self, pipe: Any, placement: Placement, host: HostCopy, undo: ExitStack) -> None:
        """Have diffusers hook every leaf module; on a CPU, accelerate."""
        device = placement.device
        pipe._offload_gpu_id = device.index or 0
        if device.type != "cpu":
            pipe.enable_sequential_cpu_offload(device=device)
            return
        from accelerate import cpu_offload

        from cogmagic._tiers.hooks import modules

        for module in modules(pipe):  # as the pipeline's method does, which has no "cpu" index
            cpu_offload(module, device, offload_buffers=len(module._parameters) > 0)


def _reread(work: Workload, rates: Rates, host: HostMemory) -> float:
    """Seconds a step for files that are larger than the host memory that could cache them.

    Read round and round, such a file is never in the cache when it is needed.
    """
    if work.converted or host.copies or not stored_as_files(work.request, work.dtype):
        return 0.0
    weights = work.files.transformer.weights
    if work.ram is None or work.ram - host.peak >= weights:
        return 0.0
    return work.passes * weights / rates.disk
