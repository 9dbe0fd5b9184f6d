"""Seconds of a run's parts, as far as tiers share them. Pure arithmetic.

A denoising step is the sum of four amounts of work, each at its own rate: the linear products, the
attention, the elementwise passes between them, which wait for memory, and what a step costs however
small the clip is.
"""

from __future__ import annotations

from dataclasses import dataclass

from cogmagic._footprint.curves import Part
from cogmagic._footprint.work import ITEM
from cogmagic._machine.rates import Rates
from cogmagic._tiers.workload import Workload

__all__ = ["Pace", "layer_seconds", "plain_pace"]

_PASSES, _ROTATIONS = 240, 145
"""Bytes that a block reads and writes for each number of its hidden states, and more where queries
and keys are rotated in float32. These and the next three are fitted to 60 runs on an H100
(docs/benchmarks/tiers.jsonl and stream.jsonl) and to blocks of 2b, 5b and 1.5-5b on an H200
(blocks.jsonl), all within 5 %."""
_COMPILED_PASSES, _COMPILED_ROTATIONS = 50, 65
"""The same in a compiled block, which fuses them."""
_NARROWING = 20
"""More in a compiled block with fp8 products, whose inputs are narrowed."""
_EAGER_NARROWING = 110
"""The same in a block that is not compiled, in which each layer's input is read and written."""
_ADAPTED, _COMPILED_ADAPTED = 12, 7
"""Bytes for each number of an adapter's product, which is written, scaled and added. From 71 and
160 ms a step that adapters of rank 128 take of 5b's attention and of all its linear layers on an
H200 (docs/benchmarks/lora.jsonl)."""
_EXCHANGED, _COMPILED_EXCHANGED, _EXCHANGE = 60, 15, 5e-4
"""Bytes that a block reads and writes for each number of a rank's hidden states because tokens are
exchanged for heads, the same in a compiled block, and seconds that a block waits for it besides.
Fitted to steps of 5b on two and four H200s (docs/benchmarks/parallel.jsonl), all within 7 %."""
_STEP = 0.004
"""Seconds that a step costs beside its work: the scheduler and the embeddings."""
_PROMPT = 0.025
"""Seconds to encode a prompt beside its products: the text encoder's many small operations."""
_LEAN_DECODE, _FAST_DECODE, _FAST_LEAN_DECODE = 1.05, 0.35, 0.42
"""How many times as long lean decoding, fast decoding and both take: on an H200 1.02 to 1.05, 0.33
and 0.41 of the VAE alone, and 1.17 of 3.30 s in a run (docs/speed.md)."""


@dataclass(frozen=True)
class Pace:
    """What the parts of a run take."""

    onload: float
    """Bytes that are copied to the GPU once."""
    encode: float
    """Seconds for all prompts."""
    video: float
    """Seconds to encode the video to begin from, or the chunk of it."""
    step: float
    """Seconds of one denoising step."""
    decode: float
    """Seconds."""


def plain_pace(work: Workload, rates: Rates) -> Pace:
    """The pace of a tier that copies each component to the device once, before it computes."""
    f = work.active
    encode = f.encode.operations / rates.products + _PROMPT if f.encode.operations else 0.0
    video = f.encode_video.operations / rates.decode if f.encode_video else 0.0
    return Pace(
        onload=f.text_encoder.weights + f.transformer.weights + f.vae.weights,
        encode=work.prompts * encode,
        video=video,
        step=_step(work, rates),
        decode=_decode(work, rates),
    )


def _step(work: Workload, rates: Rates) -> float:
    """Seconds of a denoising step whose weights are on the device."""
    f, compiled = work.active, work.speedups.compile
    blocks, narrow = f.blocks, work.storage == "fp8_products" and rates.fp8 > 0
    products = f.denoise.operations - blocks.attention
    passes, rotations, narrowing = (
        (_COMPILED_PASSES, _COMPILED_ROTATIONS, _NARROWING)
        if compiled
        else (_PASSES, _ROTATIONS, _EAGER_NARROWING)
    )
    passes += rotations * blocks.rotary + narrowing * narrow
    moved, exchange = passes * blocks.numbers, f.exchange
    moved += (_COMPILED_EXCHANGED if compiled else _EXCHANGED) * exchange.numbers
    moved += (_COMPILED_ADAPTED if compiled else _ADAPTED) * blocks.adapted
    return (
        products / (rates.fp8 if narrow else rates.products)
        + blocks.attention / (rates.attention * rates.kernels.get(work.speedups.attention, 1.0))
        + moved * ITEM[work.dtype] / 2 / rates.memory
        + exchange.sent / work.link
        + _EXCHANGE * exchange.blocks
        + _STEP
    )


def _decode(work: Workload, rates: Rates) -> float:
    plain, lean = (_FAST_DECODE, _FAST_LEAN_DECODE) if work.speedups.decode else (1.0, _LEAN_DECODE)
    times = lean if work.lean_decode else plain
    return times * work.active.decode.operations / rates.decode


def layer_seconds(part: Part, rates: Rates, *, locked: bool) -> float:
    """Seconds to copy each layer of a component to the device for one pass, and to drop it."""
    rate = rates.locked if locked else rates.pageable
    return part.tensors * rates.tensor + (part.weights - part.spare) * (
        1 / rate + 1 / rates.mapping
    )
