"""The dtype of a request on a machine, and its risks."""

from __future__ import annotations

from cogmagic._errors import RequestError
from cogmagic._machine.machine import Machine
from cogmagic._models.catalog import Dtype
from cogmagic._models.request import Request

__all__ = ["dtype_for", "picture_risk", "unmeasured"]


def picture_risk(request: Request, dtype: Dtype) -> str:
    """The risk to the picture in a dtype that the model was not trained in; empty without any."""
    if dtype != "float16" or request.model.dtype != "bfloat16":
        return ""
    return f"{request.model.name} was trained in bfloat16: in float16 the picture may be black"


def unmeasured(machine: Machine) -> str:
    """A warning where no card of this generation was measured; empty where one was."""
    gpu = machine.roomiest
    if machine.device != "cuda" or gpu is None or gpu.bf16 is not False:
        return ""
    return f"{gpu.name} is older than Ampere, and no such card was measured: its memory may differ"


def dtype_for(request: Request, machine: Machine) -> Dtype:
    """The dtype in which the weights are loaded.

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
        way = "--model 2b, or try --dtype float16, with which the picture may be black"
        if not trained:
            way = f"leave --dtype out: {request.model.name} is made for {request.model.dtype}"
        if other := next(new, None):
            way = f"use --gpus {other.index} ({other.name}), {way}"
        elif trained:
            way = f"use {way}"
        which = f", which {request.model.name} was trained in" if trained else ""
        raise RequestError(
            f"{gpu.name} cannot compute in bfloat16{which} (that takes Ampere or newer)."
            f" {way[0].upper()}{way[1:]}."
        )
    return dtype
