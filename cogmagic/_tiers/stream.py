"""Streaming: weights come from page-locked host memory while the blocks before them compute.

The transformer goes block by block and the text encoder leaf by leaf through diffusers' group
offloading. The transformer's other parts, and blocks for which there is room, stay while denoising:
every so many blocks one, so that each copy has the longer to arrive. The VAE comes when it is
called.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from cogmagic._tiers.host_copy import HostCopy
from cogmagic._tiers.turns import Turns

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["forget_stream", "stream", "stream_indices"]


_HOOKS = ("lazy_prefetch_group_offloading", "layer_execution_tracker", "group_offloading")


def stream(
    pipe: Any,
    device: torch.device,
    resident: int,
    undo: ExitStack,
    locked: Collection[nn.Module] = (),
) -> None:
    """Stream `pipe` to `device`; what is put there by this module itself, `undo` takes away.

    Args:
        pipe: its weights are in host memory.
        device: where it computes.
        resident: how many of the transformer's blocks stay while denoising.
        undo: gets a callback for each thing done.
        locked: the components with page-locked weights, whose copies run beside the computation.
    """
    import torch
    from diffusers.hooks import apply_group_offloading

    def offload(module: nn.Module, kind: str, *, ahead: bool, **how: Any) -> None:
        apply_group_offloading(
            module,
            offload_type=kind,
            onload_device=device,
            offload_device=torch.device("cpu"),
            use_stream=ahead,
            non_blocking=ahead,
            **how,
        )

    undo.callback(_settle, device)
    if pipe.text_encoder is not None:
        # T5's embedding is in its encoder a second time, by another name that never runs.
        ahead = pipe.text_encoder in locked
        offload(pipe.text_encoder.encoder, "leaf_level", ahead=ahead)
    transformer, vae = pipe.transformer, pipe.vae
    blocks, parts = transformer.transformer_blocks, transformer._modules
    streamed = stream_indices(len(blocks), resident)
    stays = [b for i, b in enumerate(blocks) if i not in streamed]
    stays += [part for part in transformer.children() if part is not blocks]
    # diffusers offloads what it finds: for this moment, the blocks that are to be streamed. It
    # would send the other parts, too, with each step, and their buffers twice. But only where it
    # finds another part does it fetch each block ahead, so there is one without weights.
    undo.callback(setattr, transformer, "_modules", parts)
    transformer._modules = {
        "transformer_blocks": torch.nn.ModuleList([blocks[i] for i in sorted(streamed)]),
        "other": torch.nn.Identity(),
    }
    try:
        offload(transformer, "block_level", ahead=transformer in locked, num_blocks_per_group=1)
    finally:
        transformer._modules = parts
    turns = Turns(undo)
    for called, home in (
        ([transformer], HostCopy(stays)),
        ([vae.encoder, vae.decoder], HostCopy([vae])),
    ):
        turns.add(called, partial(home.onload, device), home.restore)


def stream_indices(count: int, resident: int) -> frozenset[int]:
    """Which of `count` blocks are streamed when `resident` stay, as evenly spread as can be."""
    streamed = max(count - resident, 0)
    return frozenset(i for i in range(count) if (i + 1) * streamed // count > i * streamed // count)


def forget_stream(module: nn.Module) -> None:
    """Remove diffusers' hooks of streaming from `module` and all its submodules."""
    for sub in module.modules():
        registry = getattr(sub, "_diffusers_hook", None)
        if registry is None:
            continue
        for name in _HOOKS:
            registry.remove_hook(name, recurse=False)
        if not registry.hooks:
            del sub._diffusers_hook
            if getattr(sub.__dict__.get("forward"), "__func__", None) is type(sub).forward:
                del sub.__dict__["forward"]


def _settle(device: torch.device) -> None:
    """Let copies that are under way arrive before what they read or write goes."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
