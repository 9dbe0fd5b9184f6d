"""Seconds of a run's parts, as far as tiers share them. Pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from cogmagic._footprint.curves import Part
from cogmagic._machine.rates import Rates
from cogmagic._tiers.workload import Workload

__all__ = ["Pace", "layer_seconds", "plain_pace"]


@dataclass(frozen=True)
class Pace:
    """What the parts of a run take."""

    onload: float
    """Bytes that are copied to the GPU once."""
    encode: float
    """Seconds for all prompts."""
    step: float
    """Seconds of one denoising step."""
    decode: float
    """Seconds."""


def plain_pace(work: Workload, rates: Rates) -> Pace:
    """The pace of a tier that copies each component to the device once, before it computes."""
    f = work.active
    return Pace(
        onload=f.text_encoder.weights + f.transformer.weights + f.vae.weights,
        encode=work.prompts * f.encode.operations / rates.compute,
        step=f.denoise.operations / rates.compute,
        decode=f.decode.operations / rates.decode,
    )


def layer_seconds(part: Part, rates: Rates, *, locked: bool) -> float:
    """Seconds to copy each layer of a component to the device for one pass, and to drop it."""
    rate = rates.locked if locked else rates.pageable
    return part.tensors * rates.tensor + (part.weights - part.spare) * (
        1 / rate + 1 / rates.mapping
    )
