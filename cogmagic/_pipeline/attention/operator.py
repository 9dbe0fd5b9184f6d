"""The attention kernels as one operator of torch: opaque to torch.compile, with shapes for tracing.

Packages differ in what they register: fa3-fwd and flash-attn have operators with shapes,
SageAttention calls Triton directly. Through `operator` a compiled block is one graph with each.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any

from cogmagic._pipeline.attention.registry import KERNELS

if TYPE_CHECKING:
    import torch

    from cogmagic._pipeline.attention.base import Attend

__all__ = ["operator"]


@cache
def operator() -> Any:
    """``torch.ops.cogmagic.attention``: query, key, value, and the kernel's name.

    Its result is of the query's shape (batch, heads, tokens, head dimension), in memory by tokens,
    then heads, so that the heads of a token are joined without a copy.
    """
    import torch

    @torch.library.custom_op(
        "cogmagic::attention",
        mutates_args=(),
        schema="(Tensor query, Tensor key, Tensor value, str kernel) -> Tensor",
    )
    def attention(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, kernel: str
    ) -> torch.Tensor:
        # Some kernels launch on the current device, and SageAttention changes it.
        with torch.cuda.device(query.device) if query.is_cuda else nullcontext():
            out = _loaded(kernel)(query, key, value)
        return out.transpose(1, 2).contiguous().transpose(1, 2)

    @attention.register_fake
    def shapes(query: torch.Tensor, *_: torch.Tensor | str) -> torch.Tensor:
        batch, heads, tokens, head_dim = query.shape
        return query.new_empty(batch, tokens, heads, head_dim).transpose(1, 2)

    return torch.ops.cogmagic.attention.default


@cache
def _loaded(kernel: str) -> Attend:
    return KERNELS[kernel].load()
