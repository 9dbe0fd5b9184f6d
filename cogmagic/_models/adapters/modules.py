"""The transformer's modules that a LoRA can change, by diffusers' names, with their shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["from_diffsynth", "from_kohya", "is_module", "module_shapes"]


_IN_BLOCK = (
    "norm1.linear", "attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0", "norm2.linear",
    "ff.net.0.proj", "ff.net.2",
)  # fmt: skip
"""Modules of every transformer block."""


_OUTSIDE = (
    "patch_embed.proj", "patch_embed.text_proj", "time_embedding.linear_1",
    "time_embedding.linear_2", "ofs_embedding.linear_1", "ofs_embedding.linear_2",
    "norm_out.linear", "proj_out",
)  # fmt: skip
"""Modules before and after the blocks; ``ofs_embedding`` is CogVideoX 1.5's image-to-video only."""


_GATED = ("geglu", "swiglu")
"""Activations whose first projection is twice as wide; ``geglu-approximate`` is not gated."""


_NUMBER = r"(0|[1-9]\d{0,3})"


_MODULE = re.compile(
    rf"transformer_blocks\.{_NUMBER}\.({'|'.join(map(re.escape, _IN_BLOCK))})"
    f"|{'|'.join(map(re.escape, _OUTSIDE))}"
)


_FLAT = {name.replace(".", "_"): name for name in (*_IN_BLOCK, *_OUTSIDE)}
"""Modules by the names that kohya's trainers give them."""


_DIFFSYNTH = {
    "norm1.linear": "norm1.linear",
    "attn1.to_q": "attn1.to_q",
    "attn1.to_k": "attn1.to_k",
    "attn1.to_v": "attn1.to_v",
    "attn1.to_out": "attn1.to_out.0",
    "norm2.linear": "norm2.linear",
    "ff.0": "ff.net.0.proj",
    "ff.2": "ff.net.2",
    "context_embedder": "patch_embed.text_proj",
    "time_embedder.timestep_embedder.0": "time_embedding.linear_1",
    "time_embedder.timestep_embedder.2": "time_embedding.linear_2",
}
"""DiffSynth's names (``diffsynth/models/cog_dit.py``): in a block, and outside."""


def module_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The weight's shape of every linear module and of ``patch_embed.proj``, in the model's order.

    Args:
        config: ``transformer/config.json`` with the class's defaults for missing keys.
    """
    width = config["num_attention_heads"] * config["attention_head_dim"]
    time, ofs = config["time_embed_dim"], config["ofs_embed_dim"]
    patch, depth = config["patch_size"], config["patch_size_t"]
    inputs, pixels = config["in_channels"], patch * patch * (depth or 1)
    inner = 4 * width
    block = {
        "norm1.linear": (6 * width, time),
        **{f"attn1.{name}": (width, width) for name in ("to_q", "to_k", "to_v", "to_out.0")},
        "norm2.linear": (6 * width, time),
        "ff.net.0.proj": (inner * (1 + (config["activation_fn"] in _GATED)), width),
        "ff.net.2": (width, inner),
    }
    shapes: dict[str, tuple[int, ...]] = {
        "patch_embed.proj": (width, inputs * pixels) if depth else (width, inputs, patch, patch),
        "patch_embed.text_proj": (width, config["text_embed_dim"]),
        "time_embedding.linear_1": (time, width),
        "time_embedding.linear_2": (time, time),
    }
    if ofs:
        shapes |= {f"ofs_embedding.linear_{n}": (ofs, ofs) for n in (1, 2)}
    for i in range(config["num_layers"]):
        shapes |= {f"transformer_blocks.{i}.{name}": shape for name, shape in block.items()}
    shapes["norm_out.linear"] = (2 * width, time)
    shapes["proj_out"] = (pixels * config["out_channels"], width)
    return shapes


def is_module(name: str) -> bool:
    """Whether a transformer of the family may have a module of that name."""
    return _MODULE.fullmatch(name) is not None


def from_kohya(flat: str) -> str:
    """The module of kohya's name for it, such as ``transformer_blocks_0_attn1_to_q``, or ''."""
    block = re.fullmatch(rf"transformer_blocks_{_NUMBER}_(\w+)", flat)
    name = _FLAT.get(block[2] if block else flat, "")
    return _in_place(name, block[1] if block else None)


def from_diffsynth(name: str) -> str:
    """The module of DiffSynth's name for it, such as ``blocks.0.attn1.to_out``, or ''."""
    block = re.fullmatch(rf"blocks\.{_NUMBER}\.(.+)", name)
    return _in_place(_DIFFSYNTH.get(block[2] if block else name, ""), block[1] if block else None)


def _in_place(name: str, block: str | None) -> str:
    """`name` in that block, or outside; '' where the family has no such module."""
    full = name if block is None else f"transformer_blocks.{block}.{name}"
    return full if is_module(full) else ""
