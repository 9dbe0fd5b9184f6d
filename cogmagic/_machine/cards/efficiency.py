"""Efficiency: which shares of their datasheets' figures cards of each generation reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf

__all__ = ["PROBED", "Efficiency", "ProbeShares", "efficiency_of"]


@dataclass(frozen=True)
class Efficiency:
    """Shares that CogVideoX reaches: of the 16-bit rate, and of the memory's bandwidth."""

    products: float
    """Of the rate, in the transformer's linear products."""
    attention: float
    """Of the rate, in torch's own attention."""
    decode: float
    """Of the rate, in the VAE decoder."""
    memory: float
    """Of the bandwidth, in elementwise passes."""
    fp8: float = 0.0
    """Of the rate, in row-wise fp8 products; 0 where the cards have none."""
    source: str = ""
    """Where they come from, to follow the card's name in the plan's line ``times``."""
    kernels: Mapping[str, float] = field(default_factory=dict)
    """Rates of attention kernels, of torch's own; 1 for others."""
    most_memory: float = inf
    """The most bytes a second in elementwise passes, which also compute: an H200 has 1.43 times the
    bandwidth of an H100, and its passes are 1.07 times as fast."""


# torch's own kernel is cuDNN's on Hopper, 18.3 ms of a block of 5b. A block takes 4.2 ms less with
# fa3, and 5.4 to 6.2 less with fa3-fp8 (docs/benchmarks/attention.jsonl): 1.30 and 1.42 to 1.51 of
# its rate. Alone they have 1.34 and 1.44: in a run, the card draws more power and its clock falls.
# A step of 5b with `fast` takes 1.240 s by these, and took 1.243 (docs/benchmarks/speeds.jsonl).
# fa2 is torch's flash kernel, 322 of 424 TFLOP/s. sage, 403 of 421, has no row: it is from an
# unpublished run on an H100. On Ada and Ampere torch's own is FlashAttention-2. With SageAttention,
# steps on a 4090 are said to take 20 to 30 % less (kijai/ComfyUI-CogVideoXWrapper).
_ON_HOPPER = {"fa3": 1.30, "fa3-fp8": 1.45, "fa2": 0.76, "sage": 0.957}
_ON_ADA = {"sage": 1.8}


# H100 SXM, 989 TFLOP/s and 3.35 TB/s (docs/benchmarks/tiers.jsonl, all five models).
_HOPPER = Efficiency(0.73, 0.425, 0.127, 0.87, 1.31, "and runs on an H100", _ON_HOPPER, 3.1e12)
# B200 and Thor.
_BLACKWELL = replace(_HOPPER, fp8=0.0, kernels={}, source="at the shares of an H100: not measured")
# A100, 312 TFLOP/s and 2.04 TB/s. Products reach 0.85 there. Attention of head dimension 64: 190
# TFLOP/s (T. Dao, "FlashAttention-2", figure 5). Published are 180 s for 5b's 50 steps
# (zai-org/CogVideo, README) and 243 with all else (sayakpaul/diffusers-torchao, README).
_A100 = Efficiency(0.85, 0.61, 0.21, 0.87, source="and published times of an A100: not measured")
# RTX 4090, 165 TFLOP/s: 165 in attention (Zhang et al., "SageAttention", of FlashAttention-2). L40,
# 181 TFLOP/s: 5b's 50 steps in 310 s, 2b's in 129 (xdit-project/xDiT, 7.75 times 40 s, 4.29 times
# 30 s). Products in fp8 have twice the rate.
_ADA = Efficiency(
    0.90, 0.95, 0.21, 0.87, 1.8, "and published times of an L40: not measured", _ON_ADA
)
# GeForce RTX 30 and 50 and their kin accumulate at half the rate, too.
_LIKE_ADA = replace(_ADA, fp8=0.0, source="at the shares of an L40: not measured")
_OTHERS = replace(_A100, source="alone: not measured")

_BY_CAPABILITY = {
    (8, 0): _A100,
    (8, 6): _LIKE_ADA,
    (8, 9): _ADA,
    (9, 0): _HOPPER,
    (10, 0): _BLACKWELL,
    (10, 3): _BLACKWELL,
    (11, 0): _BLACKWELL,
    (12, 0): _LIKE_ADA,
    (12, 1): _LIKE_ADA,
}


def efficiency_of(capability: tuple[int, int] | None) -> Efficiency:
    """The shares of cards of a compute capability; AMD's have none."""
    return _BY_CAPABILITY.get(capability or (0, 0), _OTHERS)


@dataclass(frozen=True)
class ProbeShares:
    """Shares of a probe's figures that CogVideoX reaches."""

    products: float
    """Of a large product in 16 bits: in a run, the card draws more power and its clock falls."""
    attention: float
    """Of a small attention."""
    decode: float
    """Of the product, in the VAE decoder."""
    memory: float
    """Of a pass of GELU."""
    fp8: float
    """Of a large product in fp8."""


PROBED = ProbeShares(0.95, 1.04, 0.166, 0.93, 0.95)
