"""Tier ``stream``: weights copied from page-locked host memory while earlier blocks compute.

The transformer is streamed block by block and the text encoder leaf by leaf through diffusers'
group offloading. The transformer's other parts, and as many blocks as fit, stay on the GPU while
denoising; they are spread evenly, which gives each copy the most time to arrive. The VAE is loaded
when it is called.
"""

from __future__ import annotations

from bisect import bisect
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from cogmagic._footprint.footprint import Footprint
from cogmagic._machine.machine import Machine
from cogmagic._machine.rates import Rates
from cogmagic._tiers.base import Assess, Phases, Placement, Tier, Variant, encoding_video
from cogmagic._tiers.host_memory import HostMemory
from cogmagic._tiers.plain_pace import Pace
from cogmagic._tiers.workload import Workload
from cogmagic._units import GIB

if TYPE_CHECKING:
    import torch

    from cogmagic._tiers.host_copy import HostCopy

__all__ = ["Stream", "stream_indices"]

_HEADROOM = GIB
"""VRAM left beside the blocks that stay, so that the allocator keeps the blocks that come and go
apart from the activations. With reserved memory at the cap, steps took 1.23 times as long on an
H100, and with this headroom 1.02 to 1.04 (docs/benchmarks, streaming): it seems that the allocator
otherwise returns memory and asks for it again at every block."""
_BESIDE = 7e-12
"""Seconds that the copy of a byte adds to the computation beside it: on an H100 0.05 to 0.07 s for
the 10.4 GiB of 5b, compiled (1.44 s a step) or not (1.87 s), and 0.15 s where they come twice in
7.95 s (docs/benchmarks/stream.jsonl)."""


class Stream(Tier):
    """The transformer and the text encoder streamed, the VAE on the GPU when it is called."""

    name = "stream"
    title = "streaming"
    meaning = "blocks copied from page-locked memory while others compute"
    devices = frozenset({"cuda", "cpu"})
    requires_copies = True

    def choose(self, work: Workload, machine: Machine, assess: Assess) -> Variant | None:
        """With as many blocks on the GPU as fit, or none."""
        most = work.files.transformer.blocks
        if not assess(Variant(most)).missing:
            return Variant(most)

        def too_many(resident: int) -> bool:
            return assess(Variant(resident), headroom=_HEADROOM).missing > 0

        # More blocks never need less memory, so what fits comes before what does not.
        return Variant(bisect(range(1, most), False, key=too_many))

    def phases(self, f: Footprint, overhead: int, variant: Variant) -> tuple[Phases, ...]:
        """The text encoder's leaves, then the transformer's blocks, two at a time, then the VAE.

        While one computes, the next arrives. The transformer's other parts and its resident blocks
        are on the GPU while denoising, and until the VAE is called.
        """
        vae, transformer = f.vae.weights, f.transformer
        outside = transformer.weights - transformer.blocks * transformer.block
        resident = min(variant.resident_blocks, transformer.blocks)
        count = min(resident + 2, transformer.blocks)
        image = vae + f.encode_image.peak if f.encode_image else 0
        denoise = outside + count * transformer.block + f.denoise.peak
        return (
            {
                "load": 0,
                "encode": max(f.encode.ahead_peak + overhead, f.lookup.ahead_peak),
                "denoise": max(denoise, image) + overhead,
                "before decode": outside + resident * transformer.block + overhead,
                "decode": vae + f.decode.peak + overhead,
            }
            | encoding_video(f, vae + overhead),
        )

    def pace(self, work: Workload, rates: Rates, variant: Variant, host: HostMemory) -> Pace:
        """A block is copied while the one before it computes, and those that stay after that."""
        f, plain = work.active, super().pace(work, rates, variant, host)
        text, transformer, resident = f.text_encoder, f.transformer, variant.resident_blocks
        streamed = max(transformer.blocks - resident, 0)
        copied = transformer.block * streamed
        computing = plain.step / work.passes / max(transformer.blocks, 1)
        waiting = _waiting(computing, transformer.block / rates.locked, streamed, resident)
        return replace(
            plain,
            onload=f.vae.weights + transformer.weights - copied,
            encode=plain.encode + work.prompts * text.weights / rates.locked,
            step=plain.step + work.passes * (waiting + _BESIDE * copied),
        )

    def place(self, pipe: Any, placement: Placement, host: HostCopy, undo: ExitStack) -> None:
        """Hook the pipeline for streaming."""
        device, pinned = placement.device, placement.pinned
        undo.callback(_wait_for_copies, device)
        if pipe.text_encoder is not None:
            # T5's embedding is in its encoder a second time, by another name that never runs.
            ahead = pipe.text_encoder in pinned
            _group_offload(pipe.text_encoder.encoder, "leaf_level", device, ahead=ahead)
        _stream_transformer(pipe, placement, undo)


def _stream_transformer(pipe: Any, placement: Placement, undo: ExitStack) -> None:
    import torch

    from cogmagic._tiers.host_copy import HostCopy
    from cogmagic._tiers.residency import Residency

    transformer, vae, device = pipe.transformer, pipe.vae, placement.device
    blocks, parts = transformer.transformer_blocks, transformer._modules
    streamed = stream_indices(len(blocks), placement.variant.resident_blocks)
    resident = [b for i, b in enumerate(blocks) if i not in streamed]
    resident += [part for part in transformer.children() if part is not blocks]
    # diffusers offloads every child it sees: for this moment, the blocks that are to be streamed.
    # It would send the other parts, too, with each step, and their buffers twice. But only beside
    # another part does it fetch each block ahead, so there is one without weights.
    undo.callback(setattr, transformer, "_modules", parts)
    transformer._modules = {
        "transformer_blocks": torch.nn.ModuleList([blocks[i] for i in sorted(streamed)]),
        "other": torch.nn.Identity(),
    }
    try:
        ahead = transformer in placement.pinned
        _group_offload(transformer, "block_level", device, ahead=ahead, num_blocks_per_group=1)
    finally:
        transformer._modules = parts
    residency = Residency(undo)
    for called, home in (
        ([transformer], HostCopy(resident)),
        ([vae.encoder, vae.decoder], HostCopy([vae])),
    ):
        residency.add(called, partial(home.onload, device), home.restore)


def _group_offload(
    module: Any, kind: str, device: torch.device, *, ahead: bool, **options: Any
) -> None:
    import torch
    from diffusers.hooks import apply_group_offloading

    apply_group_offloading(
        module,
        offload_type=kind,
        onload_device=device,
        offload_device=torch.device("cpu"),
        use_stream=ahead,
        non_blocking=ahead,
        **options,
    )


def stream_indices(count: int, resident: int) -> frozenset[int]:
    """Which of `count` blocks are streamed when `resident` stay, as evenly spread as can be."""
    streamed = max(count - resident, 0)
    return frozenset(i for i in range(count) if (i + 1) * streamed // count > i * streamed // count)


def _waiting(computing: float, copying: float, streamed: int, resident: int) -> float:
    """Seconds of a pass in which the GPU waits for blocks.

    A copy has as long as the blocks compute that lie between two streamed ones, of which the
    resident ones are spread evenly (`stream_indices`), and the streamed one itself.

    Args:
        computing: seconds of a block.
        copying: seconds of a block's copy.
        streamed: number of streamed blocks.
        resident: number of the others.
    """
    if not streamed:
        return 0.0
    between, longer = divmod(resident, streamed)
    short, long = ((n + 1) * computing for n in (between, between + 1))
    return (streamed - longer) * max(copying - short, 0.0) + longer * max(copying - long, 0.0)


def _wait_for_copies(device: torch.device) -> None:
    """Let running copies end before the memory that they read or write is freed."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
