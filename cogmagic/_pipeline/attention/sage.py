"""SageAttention (``sageattention`` 1 and 2), where the user has installed it. Not measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cogmagic._pipeline.attention.base import Attend, AttentionKernel

if TYPE_CHECKING:
    import torch

__all__ = ["SageAttention"]


class SageAttention(AttentionKernel):
    """Attention in int8: another picture, so no speed uses it."""

    name = "sage"
    title = "SageAttention"
    head_dims = (64, 96, 128)
    install = "pip install sageattention"

    def load(self) -> Attend:
        """The function of ``sageattention``. Version 1 subtracts the mean from `key` in place."""
        from sageattention import sageattn

        def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = sageattn(query, key, value, tensor_layout="HND", is_causal=False)
            return out

        return attend
