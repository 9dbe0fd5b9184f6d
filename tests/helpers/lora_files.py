"""LoRA files for a transformer, with random values, in diffusers' format."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

ATTENTION = ("attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0")
LINEARS = (*ATTENTION, "ff.net.0.proj", "ff.net.2", "norm1.linear", "norm2.linear")


def write_lora(
    path: Path,
    transformer: nn.Module,
    *,
    rank: int = 4,
    seed: int = 0,
    kinds: Iterable[str] = ATTENTION,
    strength: float = 0.1,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """A LoRA of these layers of every block, strong enough to change the video."""
    draw = torch.Generator().manual_seed(seed)
    endings = tuple(f".{kind}" for kind in kinds)
    tensors: dict[str, torch.Tensor] = {}
    for name, module in transformer.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and f".{name}".endswith(endings):
            out, *inputs = module.weight.shape
            down = torch.randn(rank, *inputs, generator=draw) / prod(inputs) ** 0.5
            up = torch.randn(out, rank, *[1] * (len(inputs) - 1), generator=draw) * strength
            tensors[f"transformer.{name}.lora_A.weight"] = down.to(dtype)
            tensors[f"transformer.{name}.lora_B.weight"] = up.to(dtype)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata={"format": "pt"})
    return path
