"""Limits on what this process may map: ``ulimit -v`` and ``ulimit -d``.

Linux ignores ``ulimit -m`` (``RLIMIT_RSS``), and NVIDIA's driver page-locks memory without
counting it against ``ulimit -l`` (``RLIMIT_MEMLOCK``), so neither is read.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cogmagic._machine.gpu import Gpu
from cogmagic._units import GIB

__all__ = ["cuda_addresses", "mappable"]


_CUDA_STARTUP = 16 * GIB
"""Addresses that CUDA's libraries map and reserve when it starts: an estimate, not measured."""


def mappable(cuda: int = 0) -> int | None:
    """Bytes that this process may still map; None without a limit.

    ``ulimit -v`` counts every mapping, and ``ulimit -d`` those that are private and can be written:
    memory-mapped weights are both (torch maps the files of safetensors copy-on-write).

    Args:
        cuda: bytes of addresses that CUDA has yet to reserve, without access to them.
    """
    if sys.platform != "linux":
        return None
    import resource

    kinds = resource.RLIMIT_AS, resource.RLIMIT_DATA
    allowed = [resource.getrlimit(kind)[0] for kind in kinds]
    if all(most == resource.RLIM_INFINITY for most in allowed):
        return None
    import psutil

    memory = psutil.Process().memory_info()
    used = memory.vms + cuda, memory.data
    return min(
        max(most - nbytes, 0)
        for most, nbytes in zip(allowed, used, strict=True)
        if most != resource.RLIM_INFINITY
    )


def cuda_addresses(gpus: Sequence[Gpu]) -> int:
    """Bytes of addresses that CUDA has yet to reserve in this process; 0 once it has started.

    With expandable segments, torch reserves 9/8 of a GPU's memory for each of its two pools
    (``ExpandableSegment`` in torch's ``CUDACachingAllocator.cpp``).
    """
    if not gpus or any(g.reserved is not None for g in gpus):
        return 0
    return _CUDA_STARTUP + 2 * max(g.total or 0 for g in gpus) * 9 // 8
