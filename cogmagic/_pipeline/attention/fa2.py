"""FlashAttention-2 (``flash-attn``), where the user has installed it. Not measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cogmagic._pipeline.attention.base import Attend, AttentionKernel, Capability

if TYPE_CHECKING:
    import torch

__all__ = ["FlashAttention2"]


class FlashAttention2(AttentionKernel):
    """FlashAttention-2, the algorithm of torch's own flash kernel."""

    name = "fa2"
    title = "FlashAttention-2"
    in_speeds = True
    install = "pip install flash-attn --no-build-isolation"

    def in_speed(self, capability: Capability) -> bool:
        """Not on Hopper and newer, where torch takes cuDNN's kernel: 424 TFLOP/s against 322."""
        return super().in_speed(capability) and capability is not None and capability[0] == 8

    def load(self) -> Attend:
        """The function of ``flash_attn``, on (batch, tokens, heads, head dimension)."""
        from flash_attn import flash_attn_func

        def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
            q, k, v = (t.transpose(1, 2) for t in (query, key, value))
            out: torch.Tensor = flash_attn_func(q, k, v)
            return out.transpose(1, 2)

        return attend
