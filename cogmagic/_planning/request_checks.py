"""Every refusal of a request that a machine cannot do, in one order for plans and for runs."""

from __future__ import annotations

from cogmagic._machine.machine import Machine
from cogmagic._models.model import Dtype
from cogmagic._models.request import Request
from cogmagic._planning.checks import (
    check_attention,
    check_options,
    check_parallel,
    check_savings,
    check_stored,
    check_video,
)
from cogmagic._planning.dtype import dtype_for
from cogmagic._planning.memory_options import MemoryOptions
from cogmagic._planning.rule_of_thumb import named_tier

__all__ = ["check_request"]


def check_request(request: Request, options: MemoryOptions, machine: Machine) -> Dtype:
    """Refuse what `machine` cannot do at all; returns the dtype of the request on it.

    Nothing is loaded or downloaded, and torch is not imported.

    Raises:
        RequestError: for an option that does not work there, or not with the others.
        TierError: for a tier of which that is true.
    """
    check_options(options, machine)
    check_savings(options, named_tier(options, machine), machine)
    check_stored(request.model, options, machine)
    check_video(request, options, machine)
    dtype = dtype_for(request, machine, options)
    check_parallel(request, machine, dtype, options)
    check_attention(request.model, options, machine, dtype)
    return dtype
