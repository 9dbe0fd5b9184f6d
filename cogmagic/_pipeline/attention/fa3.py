"""FlashAttention-3 (``fa3-fwd``), for Hopper.

Its wheel 0.0.3 is for Linux on x86-64 and any Python from 3.9 on (abi3). It has the forward pass
alone, in bfloat16 and fp8, for head dimensions up to 256. It uses torch's stable ABI, with
functions that torch has had since 2.10: it ran with 2.11 and loads with 2.13. It links the runtime
of CUDA 13, so a torch built for CUDA 12 does not load it. Its fast path is for compute capability
9.0; it has another for 8.x, which is not measured.
"""

from __future__ import annotations

from cogmagic._pipeline.attention.base import Attend, AttentionKernel, by_tokens

__all__ = ["FlashAttention3"]


class FlashAttention3(AttentionKernel):
    """FlashAttention-3: 567 TFLOP/s on an H200; torch's flash kernel reaches 322, cuDNN's 424."""

    name = "fa3"
    title = "FlashAttention-3"
    in_speeds = True
    measured = True
    dtypes = ("bfloat16",)
    install = "pip install fa3-fwd"
    needs = "a Hopper GPU (compute capability 9.0)"

    def runs_on(self, capability: tuple[int, int]) -> bool:
        """Hopper alone."""
        return capability == (9, 0)

    def load(self) -> Attend:
        """The function of ``fa3_fwd_interface``."""
        from fa3_fwd_interface import flash_attn_func

        return by_tokens(flash_attn_func)
