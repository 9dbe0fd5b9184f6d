"""The components of a pipeline, and the removal of every hook that a tier puts on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["compute_on", "forget_hooks", "modules", "unhook"]

_GROUP_OFFLOADING = (
    "lazy_prefetch_group_offloading",
    "layer_execution_tracker",
    "group_offloading",
)
"""diffusers' names for the hooks of its group offloading."""


def modules(pipe: Any) -> list[nn.Module]:
    """The pipeline's components that have weights."""
    from torch import nn

    return [c for c in pipe.components.values() if isinstance(c, nn.Module)]


def forget_hooks(pipe: Any) -> None:
    """Remove every hook and every attribute that a tier leaves on the pipeline."""
    for module in modules(pipe):
        unhook(module)
        _forget_group_offloading(module)
    pipe._all_hooks = []
    for name in ("_offload_gpu_id", "_offload_device", "maybe_free_model_hooks"):
        pipe.__dict__.pop(name, None)


def compute_on(module: nn.Module, device: torch.device) -> None:
    """Have the pipeline, which asks the first hook that it meets, put its tensors on `device`."""
    from accelerate.hooks import ModelHook, add_hook_to_module

    hook = ModelHook()
    hook.execution_device = device
    add_hook_to_module(module, hook)


def unhook(module: nn.Module) -> None:
    """Remove accelerate's hooks from `module` and all its submodules, wrapped forwards included.

    diffusers' ``remove_all_hooks`` passes over a component whose root has no hook of its own.
    """
    from accelerate.hooks import remove_hook_from_module

    for sub in module.modules():
        if hasattr(sub, "_hf_hook"):
            remove_hook_from_module(sub)
            # Accelerate leaves the class's own forward behind as an attribute of the instance.
            _drop_own_forward(sub)


def _forget_group_offloading(module: nn.Module) -> None:
    """Remove diffusers' hooks of group offloading from `module` and all its submodules."""
    for sub in module.modules():
        registry = getattr(sub, "_diffusers_hook", None)
        if registry is None:
            continue
        for name in _GROUP_OFFLOADING:
            registry.remove_hook(name, recurse=False)
        if not registry.hooks:
            del sub._diffusers_hook
            _drop_own_forward(sub)


def _drop_own_forward(module: nn.Module) -> None:
    """Remove an instance attribute ``forward`` that is only the class's own method."""
    if getattr(module.__dict__.get("forward"), "__func__", None) is type(module).forward:
        del module.__dict__["forward"]
