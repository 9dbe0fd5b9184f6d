"""LoRA files: one adapter for the embedded model, written in the keys of every trainer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cogmagic._footprint.configs import table
from cogmagic._models.adapters.modules import module_shapes

RANK = 4

ATTENTION = ("attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0")


def shapes(model: str = "tiny") -> dict[str, tuple[int, ...]]:
    """The weight shapes of a catalogue model's modules."""
    return module_shapes(table()["models"][model]["configs"]["transformer"])


def factors(
    names: tuple[str, ...] = ATTENTION, *, model: str = "tiny", rank: int = RANK, seed: int = 0
) -> dict[str, tuple[Any, Any]]:
    """Random factors (down, up) of modules, by module; `names` are the ends of their names."""
    import torch

    random = torch.Generator().manual_seed(seed)
    made = {}
    for module, (outputs, inputs, *kernel) in shapes(model).items():
        if module.endswith(names):
            down = torch.randn((rank, inputs, *kernel), generator=random)
            up = torch.randn((outputs, rank, *(1 for _ in kernel)), generator=random)
            made[module] = (down / inputs**0.5, up * 0.1)
    return made


def write(
    file: Path,
    tensors: Mapping[str, Any],
    metadata: dict[str, str] | None = None,
    dtype: Any = None,
) -> Path:
    """A safetensors file of these tensors."""
    from safetensors.torch import save_file

    file.parent.mkdir(parents=True, exist_ok=True)
    made = {name: t.to(dtype or t.dtype).contiguous().clone() for name, t in tensors.items()}
    save_file(made, file, metadata={"format": "pt"} | (metadata or {}))
    return file


def diffusers_keys(layers: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
    """The tensors as diffusers' trainers and finetrainers save them."""
    return named(layers, "transformer.{module}.lora_{AB}.weight")


def named(layers: Mapping[str, tuple[Any, Any]], pattern: str) -> dict[str, Any]:
    """The tensors by names of that pattern: ``{module}`` or ``{flat}``, ``{AB}`` or ``{down}``."""
    tensors = {}
    for module, both in layers.items():
        for letter, word, tensor in zip("AB", ("down", "up"), both, strict=True):
            flat = module.replace(".", "_")
            tensors[pattern.format(module=module, flat=flat, AB=letter, down=word)] = tensor
    return tensors
