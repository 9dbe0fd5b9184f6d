"""FlashAttention-2 (``flash-attn``), where the user has installed it. Not measured."""

from __future__ import annotations

from cogmagic._pipeline.attention.base import Attend, AttentionKernel, Capability, by_tokens

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
        """The function of ``flash_attn``."""
        from flash_attn import flash_attn_func

        return by_tokens(flash_attn_func)
