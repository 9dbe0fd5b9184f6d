"""The dtype of a request on a machine, and its risks."""

from __future__ import annotations

from cogmagic._errors import RequestError
from cogmagic._machine.machine import Machine
from cogmagic._models.catalog import catalogued
from cogmagic._models.model import Dtype
from cogmagic._models.request import Request
from cogmagic._pipeline.adapters import active
from cogmagic._planning.candidates import candidates_for
from cogmagic._planning.memory_options import NOTHING_HERE, MemoryOptions
from cogmagic._planning.rule_of_thumb import named_tier
from cogmagic._units import seconds

__all__ = ["advice_if_not_finite", "dtype_for", "overflow_risk"]


def overflow_risk(request: Request, dtype: Dtype) -> str:
    """The risk of a dtype that the model was not trained in; empty without any."""
    if not _overflows(request, dtype):
        return ""
    return f"{request.model.name} was trained in bfloat16: float16 may overflow, which ends the run"


def _overflows(request: Request, dtype: Dtype) -> bool:
    """Whether the model was trained with numbers that may be too large for `dtype`."""
    return dtype == "float16" and request.model.dtype == "bfloat16"


def advice_if_not_finite(
    request: Request, dtype: Dtype, machine: Machine, options: MemoryOptions
) -> str:
    """What to change after a run in `dtype` that computed NaN or infinity, in sentences."""
    advice = _advice_on_model(request, dtype, machine, options)
    loras = [f"{adapter.name}@{adapter.weight:g}" for adapter in active(request.loras)]
    if not loras:
        return advice
    return (
        f"The weight of a LoRA may be too large ({', '.join(loras)}): give a smaller one, or leave"
        f" out --lora. Without LoRA, {advice}"
    )


def _advice_on_model(
    request: Request, dtype: Dtype, machine: Machine, options: MemoryOptions
) -> str:
    model, gpu = request.model, machine.roomiest
    lacks = gpu is not None and gpu.bf16 is False
    wide = "float32" if lacks or machine.device == "cpu" else "bfloat16"
    because = f" ({gpu.name} cannot compute in bfloat16)" if lacks and gpu else ""
    if _overflows(request, dtype):
        return (
            f"{model.name} was trained in bfloat16, and float16 has less range."
            f" Use --dtype {wide}{because}."
        )
    again = "Install cogmagic" if model.embedded else f"Download or copy {model.source}"
    advice = (
        f"{model.name} should compute in {dtype}: one of its files, or a LoRA merged into it, may"
        f" be damaged. {again} again"
    )
    if dtype == "float16":
        advice += f", or try --dtype {wide}, which has more range{because}"
    narrow = options.savings.narrow_flag
    suspects = [*(["--compile"] if options.compile else []), *([narrow] if narrow else [])]
    return f"{advice}." + (f" Try it without {' and '.join(suspects)}, too." if suspects else "")


def dtype_for(request: Request, machine: Machine, options: MemoryOptions | None = None) -> Dtype:
    """The dtype in which the weights are loaded.

    Args:
        request: what to generate.
        machine: where.
        options: what the person chose about memory, with which an error plans in float32; None to
            leave that out.

    Raises:
        RequestError: for bfloat16 on a GPU without it (before Ampere).
    """
    # CPUs run 16-bit 3D convolutions some hundred times slower than 32-bit ones.
    default: Dtype = "float32" if machine.device == "cpu" else request.model.dtype
    dtype = request.dtype or default
    gpu = machine.roomiest
    if machine.device == "cuda" and gpu and gpu.bf16 is False and dtype == "bfloat16":
        new = (g for g in machine.gpus if g.bf16)
        trained = request.model.dtype == "bfloat16"
        way = "--model 2b, or try --dtype float16, which may overflow and end the run"
        if not trained:
            way = f"leave --dtype out: {request.model.name} is made for {request.model.dtype}"
        if other := next(new, None):
            way = f"use --gpus {other.index} ({other.name}), {way}"
        elif trained:
            way = f"use {_float32(request, machine, options)}{way}"
        which = f", which {request.model.name} was trained in" if trained else ""
        raise RequestError(
            f"{gpu.name} cannot compute in bfloat16{which} (that takes Ampere or newer)."
            f" {way[0].upper()}{way[1:]}."
        )
    return dtype


def _float32(request: Request, machine: Machine, options: MemoryOptions | None) -> str:
    """``--dtype float32 (fits: model offload, about 2 h), `` where that fits, or nothing.

    The tier and the time are those of the plan in float32. Only for models of the catalogue: others
    may have to be traced, which takes seconds.
    """
    if options is None or catalogued(request.model.source) is None:
        return ""
    machine = machine.limited_to(options.vram_limit)
    tier = named_tier(options, machine)
    candidates = candidates_for(request, machine, "float32", options, NOTHING_HERE)
    best = next((c for c in candidates if c.fits and tier in (None, c.placement)), None)
    if best is None:
        return ""
    about = f", about {seconds(best.seconds)}" if best.seconds is not None else ""
    return f"--dtype float32 (fits: {best.placement.title}{about}), "
