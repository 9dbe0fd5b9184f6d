"""Puts a pipeline where its tier says, and puts everything back.

Weights are loaded once into host memory and never copied back: what a device gets is a copy, and
leaving the device means dropping that copy. Each step is undone exactly once, also when a later
one fails. The device is an argument, so the same hooks run on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from cogmagic._interrupts import interrupts_ignored
from cogmagic._machine.memory import empty_cache
from cogmagic._pipeline.cancel import checked_between_operations
from cogmagic._tiers.host_copy import HostCopy
from cogmagic._tiers.needs import Tier
from cogmagic._tiers.staged import Source, stage
from cogmagic._tiers.stream import forget_stream, stream

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["modules", "placed", "unhook"]


@contextmanager
def placed(
    pipe: Any,
    tier: Tier,
    device: torch.device,
    *,
    resident: int = 0,
    locked: Collection[nn.Module] = (),
    text: bool = True,
    source: Source | None = None,
    check: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """Hold `pipe` in `tier` on `device`; afterwards all its weights are in host memory again.

    Args:
        pipe: the pipeline.
        tier: where its components go.
        device: what computes.
        resident: the transformer's blocks that stay on the device in `stream`.
        locked: the components whose weights are page-locked.
        text: whether the text encoder is needed.
        source: where the components of `staged` come from.
        check: called between the tensors that are placed; raises when the run is to end.
    """
    undo = ExitStack()
    try:
        if not text and tier != "balanced":
            undo.callback(setattr, pipe, "text_encoder", pipe.text_encoder)
            pipe.text_encoder = None
        if tier == "balanced":  # placed by the loader, which gave it hooks of its own
            undo.callback(_forget_hooks, pipe)
        else:
            host = HostCopy(modules(pipe))
            undo.callback(empty_cache)
            undo.callback(host.restore)
            undo.callback(_forget_hooks, pipe)
            if tier == "staged":
                assert source is not None  # noqa: S101 - `staged` has no other weights
                stage(pipe, source, device, undo, check)
            else:
                with checked_between_operations(check):
                    if tier == "stream":
                        stream(pipe, device, resident, undo, locked)
                    else:
                        _APPLY[tier](pipe, device, host)
        yield
    finally:
        with interrupts_ignored():
            undo.close()


def _apply_none(pipe: Any, device: torch.device, host: HostCopy) -> None:
    del pipe
    host.onload(device)


def _apply_model(pipe: Any, device: torch.device, host: HostCopy) -> None:
    del host
    pipe._offload_gpu_id = device.index or 0  # diffusers takes index 0 for "as before"
    pipe.enable_model_cpu_offload(device=device)
    for user_hook in pipe._all_hooks:
        # Evicting a component drops its copy on the device; diffusers would copy it back, which
        # takes 10 s for the 5B transformer and a second block of host memory.
        user_hook.hook.init_hook = HostCopy([user_hook.model]).restore
    # The last line of the pipeline's call would copy everything back and hook it again.
    pipe.maybe_free_model_hooks = partial(int)


def _apply_sequential(pipe: Any, device: torch.device, host: HostCopy) -> None:
    del host
    pipe._offload_gpu_id = device.index or 0
    if device.type != "cpu":
        pipe.enable_sequential_cpu_offload(device=device)
        return
    from accelerate import cpu_offload

    for module in modules(pipe):  # what the pipeline's method does, which knows no "cpu" index
        cpu_offload(module, device, offload_buffers=len(module._parameters) > 0)


_APPLY = {"none": _apply_none, "model": _apply_model, "sequential": _apply_sequential}


def _forget_hooks(pipe: Any) -> None:
    """Take away every hook and every trace that a tier leaves on the pipeline."""
    for module in modules(pipe):
        unhook(module)
        forget_stream(module)
    pipe._all_hooks = []
    for name in ("_offload_gpu_id", "_offload_device", "maybe_free_model_hooks"):
        pipe.__dict__.pop(name, None)


def unhook(module: nn.Module) -> None:
    """Remove accelerate's hooks from `module` and all its submodules, wrapped forwards included.

    diffusers' ``remove_all_hooks`` passes over a component whose root has no hook of its own.
    """
    from accelerate.hooks import remove_hook_from_module

    for sub in module.modules():
        if hasattr(sub, "_hf_hook"):
            remove_hook_from_module(sub)
            # Accelerate leaves the class's own forward behind as an attribute of the instance.
            if getattr(sub.__dict__.get("forward"), "__func__", None) is type(sub).forward:
                del sub.__dict__["forward"]


def modules(pipe: Any) -> list[nn.Module]:
    """The pipeline's components that hold weights."""
    from torch import nn

    return [c for c in pipe.components.values() if isinstance(c, nn.Module)]
