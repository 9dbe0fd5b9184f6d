"""Hooks and tensors of a pipeline, to compare before and after."""

from __future__ import annotations

from typing import Any

from cogmagic._tiers.hooks import modules


def traces(pipe: Any) -> list[str]:
    """Every sign of a hook on the pipeline or its modules."""
    found = [f"pipe.{n}" for n in ("_offload_device", "maybe_free_model_hooks") if n in vars(pipe)]
    for component in modules(pipe):
        for name, module in component.named_modules():
            signs = {"_hf_hook", "_old_forward", "_diffusers_hook", "forward"} & set(vars(module))
            found += [f"{name}.{s}" for s in signs]
    return found


def tensors(pipe: Any) -> dict[str, tuple[int, int]]:
    """Identity and storage address of every parameter and buffer."""
    return {
        f"{i}.{name}": (id(t), t.data_ptr())
        for i, component in enumerate(modules(pipe))
        for name, t in [*component.named_parameters(), *component.named_buffers()]
    }
