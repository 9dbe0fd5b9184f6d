"""FlashAttention-3 with query, key and value in fp8 (e4m3), for Hopper.

e4m3's three bits of mantissa cost a relative 5.4e-2 of normally distributed input, in an emulation
in float32 as on an H200: more than `MAX_DIFFERENCE`, so the comparison rules it out there.
"""

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
    """FlashAttention-3 in fp8: 609 TFLOP/s on an H200 with the casts; another picture."""

    name = "fa3-fp8"
    title = "FlashAttention-3 in fp8"
    in_speeds = False
    elsewhere = "differs from torch's flash kernel by 5.4e-2 on an H200"

    def load(self) -> Attend:
        """Query and key as they are, since each head's are normalised; the value with a scale.

        Of values of 1e-3, below e4m3's normal numbers, it differs by 5.5e-2; without a scale, 0.56.
        """
        import torch
        from fa3_fwd_interface import flash_attn_func

        narrow = torch.float8_e4m3fn

        def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
            q, k = (t.transpose(1, 2).clamp(-_LARGEST, _LARGEST).to(narrow) for t in (query, key))
            scale = value.abs().amax(dim=(2, 3), keepdim=True).clamp_min(1e-12) / _LARGEST
            v = (value / scale).clamp_(-_LARGEST, _LARGEST).to(narrow).transpose(1, 2)
            out: torch.Tensor = flash_attn_func(q, k, v, v_descale=scale[:, :, 0, 0].float())
            return out.transpose(1, 2).to(query.dtype)

        return attend
