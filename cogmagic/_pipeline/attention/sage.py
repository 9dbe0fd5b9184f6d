"""SageAttention (``sageattention`` 1 and 2), where the user has installed it. Not measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cogmagic._pipeline.attention.base import Attend, AttentionKernel

if TYPE_CHECKING:
    import torch

__all__ = ["SageAttention"]


class SageAttention(AttentionKernel):
    """Attention in int8; version 1 differs by 1.3e-2 on an H100."""

    name = "sage"
    title = "SageAttention"
    help = "SageAttention: from Ampere on; another picture (not measured)"
    head_dims = (64, 96, 128)
    install = "pip install sageattention"

    def scratch(self, elements: int) -> int:
        """Version 1: query and key in int8, and the value in float16."""
        return 4 * elements

    def load(self) -> Attend:
        """The function of ``sageattention``. Version 1 subtracts the mean from `key` in place."""
        from sageattention import sageattn

        def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = sageattn(query, key, value, tensor_layout="HND", is_causal=False)
            return out

        return attend
