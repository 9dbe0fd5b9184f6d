"""Seconds of a run's parts, and the files' share in them. Pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from cogmagic._footprint.curves import Part
from cogmagic._footprint.footprint import Footprint
from cogmagic._footprint.work import ITEM
from cogmagic._machine.rates import Rates
from cogmagic._models.catalog import Dtype
from cogmagic._models.request import Request
from cogmagic._tiers.workload import Workload

__all__ = ["Pace", "layer_seconds", "on_disk", "plain_pace", "stored_as_files", "stored_dtype"]


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


def stored_dtype(part: str, request: Request) -> Dtype:
    """The dtype in which the files store a component."""
    dtype: Dtype | None = getattr(request.model.stored, part)
    return dtype or request.model.dtype


def stored_as_files(request: Request, dtype: Dtype) -> bool:
    """Whether the transformer's weights can stay memory-mapped files, with nothing converted."""
    return stored_dtype("transformer", request) == dtype


def on_disk(request: Request, f: Footprint, dtype: Dtype) -> float:
    """Bytes of the files that hold the weights."""
    parts = {"text_encoder": f.text_encoder, "transformer": f.transformer, "vae": f.vae}
    return sum(
        part.weights * ITEM[stored_dtype(name, request)] / ITEM[dtype]
        for name, part in parts.items()
    )
