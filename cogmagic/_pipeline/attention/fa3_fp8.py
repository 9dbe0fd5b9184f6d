"""FlashAttention-3 with query, key and value in fp8 (e4m3), for Hopper."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cogmagic._pipeline.attention.base import Attend
from cogmagic._pipeline.attention.fa3 import FlashAttention3

if TYPE_CHECKING:
    import torch

__all__ = ["FlashAttention3Fp8"]


_LARGEST = 448.0
"""The largest number of e4m3; torch casts larger ones to NaN."""


class FlashAttention3Fp8(FlashAttention3):
    """FlashAttention-3 in fp8: 630 TFLOP/s on an H100 with the casts; another picture."""

    name = "fa3-fp8"
    title = "FlashAttention-3 in fp8"
    help = "FlashAttention-3 in fp8: Hopper; another picture"
    in_speeds = False

    def scratch(self, elements: int) -> int:
        """Query, key and value in a byte a number, and the value divided by its scale."""
        return 5 * elements

    def load(self) -> Attend:
        """Query and key as they are, since each head's are normalised; the value with a scale."""
        import torch
        from fa3_fwd_interface import flash_attn_func

        narrow = torch.float8_e4m3fn

        def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
            q, k = (t.transpose(1, 2).clamp(-_LARGEST, _LARGEST).to(narrow) for t in (query, key))
            scale = value.abs().amax(dim=(2, 3), keepdim=True).float().clamp_min(1e-12) / _LARGEST
            v = (value / scale.to(value.dtype)).clamp_(-_LARGEST, _LARGEST)
            v = v.to(narrow).transpose(1, 2)
            out: torch.Tensor = flash_attn_func(q, k, v, v_descale=scale[:, :, 0, 0].contiguous())
            return out.transpose(1, 2).to(query.dtype)

        return attend
