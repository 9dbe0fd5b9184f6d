"""The transformer's blocks in one denoising step: what speedups change in memory and time. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cogmagic._footprint.adapters import Pass, adapter_numbers, compiled_adapters
from cogmagic._footprint.curves import Profile
from cogmagic._footprint.work import ITEM
from cogmagic._models.model import Dtype
from cogmagic._models.request import Request

__all__ = ["Blocks", "attention_operations", "blocks_of"]

_ROTATED = 0.9
"""Hidden states by which attention with rotated queries and keys exceeds the feed-forward layers:
11.9 against 11.0, in the traces as on an H200 (docs/benchmarks/blocks.jsonl)."""


@dataclass(frozen=True)
class Blocks:
    """The blocks in one denoising step. Bytes are those alive beside the weights."""

    attention: float
    """Operations of attention, which are among those of the step."""
    numbers: float
    """Numbers in the hidden states of all blocks: batch × tokens × width × blocks."""
    adapted: float
    """Numbers in the products of LoRA adapters."""
    rotary: bool
    """Whether queries and keys are rotated, which takes passes over them in float32."""
    hidden: int
    """Bytes of the hidden states of one pass, text included."""
    entering: int
    """Bytes alive when a block begins."""
    outside: int
    """The most bytes alive outside the blocks."""
    peak: int
    """The most bytes alive in the step, as diffusers runs it."""
    spare: int
    """Bytes by which the peak, in attention's rotated queries and keys, exceeds that of the
    feed-forward layers, whose weights are the largest: a storage's scratch fits in them."""
    exchanges: bool
    """Whether attention exchanges tokens for heads with other ranks."""
    adapters: int
    """In a compiled block, bytes alive beside `entering` because of adapters; 0 without any."""


def blocks_of(
    peak: int,
    request: Request,
    dtype: Dtype,
    profile: Profile,
    config: dict[str, Any],
    run: Pass,
) -> Blocks:
    """The blocks of a transformer with this configuration.

    Args:
        peak: of the step as diffusers runs it.
        request: what to generate.
        dtype: the precision of the transformer.
        profile: the model's curves.
        config: of the transformer.
        run: one pass of it.
    """
    width = config["num_attention_heads"] * config["attention_head_dim"]
    rows, count = run.batch * run.tokens, run.count * config["num_layers"]
    hidden = rows * width * ITEM[dtype]
    around = profile.around_blocks[run.batch].share(run.tokens, run.whole)
    return Blocks(
        attention=attention_operations(config, run),
        numbers=float(count * run.repeats() * rows * width),
        adapted=adapter_numbers(request, run),
        rotary=bool(config["use_rotary_positional_embeddings"]),
        hidden=hidden,
        entering=around.leaf_peak + run.around,
        outside=max(around.peak, run.cut) + run.around,
        peak=peak,
        spare=round(_ROTATED * hidden) if config["use_rotary_positional_embeddings"] else 0,
        exchanges=run.sequence > 1,
        adapters=compiled_adapters(request, dtype, hidden, run),
    )


def attention_operations(config: dict[str, Any], run: Pass) -> float:
    """Operations of a rank's attention in a step: queries × keys, and scores × values."""
    width: int = config["num_attention_heads"] * config["attention_head_dim"]
    rows: int = run.count * config["num_layers"] * run.batch * run.whole
    return 4.0 * run.repeats(2) * rows * run.whole * width / run.sequence
