"""Seconds that a tier takes, and how the files keep the weights. Pure arithmetic."""

from __future__ import annotations

from cogmagic._footprint.curves import Part
from cogmagic._footprint.footprint import Footprint
from cogmagic._footprint.work import ITEM
from cogmagic._machine.rates import Rates
from cogmagic._models.catalog import Dtype
from cogmagic._models.request import Request
from cogmagic._units import GIB

__all__ = ["mapped", "on_disk", "run_seconds", "stored"]


_STREAMED = 0.33
"""What hidden copies add to a step, in parts of the time that they take: on an H100 0.05 to 0.07 s
for the 10.4 GiB of 5b, compiled (1.44 s a step) or not (1.87 s), and 0.15 s where they come twice
in 7.95 s (docs/benchmarks/stream.jsonl)."""


_LOCKING = 20.0 * GIB
"""Bytes a second that CUDA page-locks in place (10.3 GiB in 0.46 s on an H100's host)."""


def stored(part: str, request: Request) -> Dtype:
    """The dtype in which the files keep a component."""
    found: Dtype | None = getattr(request.model.stored, part)
    return found or request.model.dtype


def mapped(request: Request, dtype: Dtype) -> bool:
    """Whether the transformer's weights stay files that are mapped, not copies."""
    return stored("transformer", request) == dtype


def on_disk(request: Request, f: Footprint, dtype: Dtype) -> float:
    """Bytes of the files that hold the weights."""
    parts = {"text_encoder": f.text_encoder, "transformer": f.transformer, "vae": f.vae}
    return sum(
        part.weights * ITEM[stored(name, request)] / ITEM[dtype] for name, part in parts.items()
    )


def run_seconds(
    tier: str,
    request: Request,
    f: Footprint,
    rates: Rates,
    resident: int,
    *,
    passes: int,
    locked: bool,
) -> tuple[float, float]:
    """Seconds of a step and of all phases after loading, by rate, with copies that stand alone.

    Args:
        tier: the placement.
        request: what to generate.
        f: its phases, and the weights that are needed.
        rates: the device's speed.
        resident: the transformer's blocks that stay on the device in `stream`.
        passes: how often the transformer's weights are needed in each step.
        locked: whether the weights are page-locked.
    """
    prompts = 2 if request.guidance_scale > 1.0 else 1
    step = f.denoise.operations / rates.compute
    encode = prompts * f.encode.operations / rates.compute
    decode = f.decode.operations / rates.decode
    text, transformer, vae = f.text_encoder.weights, f.transformer.weights, f.vae.weights
    once = text + transformer + vae
    if tier == "sequential":
        once = 0
        step += passes * _layers(f.transformer, rates, locked=locked)
        step += f.denoise.mapped / rates.mapping
        encode += prompts * _layers(f.text_encoder, rates, locked=locked)
        encode += prompts * f.encode.mapped / rates.mapping
        decode += f.decode.calls * _layers(f.vae, rates, locked=locked)
        decode += f.decode.mapped / rates.mapping
    if tier == "stream":
        share = 1 - min(resident / max(f.transformer.blocks, 1), 1.0)
        copies = passes * share * transformer / rates.locked
        step = max(step + _STREAMED * copies, copies)
        encode += prompts * text / rates.locked
        once = vae + transformer - f.transformer.block * max(f.transformer.blocks - resident, 0)
    if locked:
        encode += (text + transformer + vae) / _LOCKING
    once_seconds = once / (rates.locked if locked else rates.pageable)
    total = once_seconds + encode + request.num_inference_steps * step + decode
    return step, total


def _layers(part: Part, rates: Rates, *, locked: bool) -> float:
    """Seconds in which each layer of a component comes to the device for one pass, and goes."""
    rate = rates.locked if locked else rates.pageable
    return part.tensors * rates.tensor + (part.weights - part.spare) * (
        1 / rate + 1 / rates.mapping
    )
