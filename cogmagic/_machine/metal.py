"""The memory that an Apple GPU may use, which is the host's."""

from __future__ import annotations

from cogmagic._machine.gpu import Gpu
from cogmagic._machine.imported_torch import imported_torch
from cogmagic._machine.ram import Ram
from cogmagic._units import GIB

__all__ = ["apple_gpu", "metal_limit"]


def apple_gpu(ram: Ram, limit: int | None) -> Gpu:
    """The Apple GPU of a machine.

    Args:
        ram: the host's memory, which is the GPU's.
        limit: bytes that the GPU may use; None for Metal's usual share.
    """
    allowed = limit if limit is not None or ram.total is None else _usual_limit(ram.total)
    return Gpu(
        index=0,
        name="Apple GPU",
        total=ram.total,
        free=ram.available,
        allowed=allowed,
        source="metal",
        unified=True,
    )


def metal_limit() -> int | None:
    """Metal's ``recommendedMaxWorkingSetSize``, once torch is imported; else None."""
    torch = imported_torch()
    if torch is None or not torch.backends.mps.is_available():
        return None
    return int(torch.mps.recommended_max_memory())


def _usual_limit(total: int) -> int:
    """Bytes of ``recommendedMaxWorkingSetSize``: 2/3 of up to 32 GiB of memory, 3/4 of more.

    Macs report 10.67 of 16 GiB, 21.33 of 32, 27 of 36 and 48 of 64; macOS 26 reports 37.44 of 48.
    """
    return total * 2 // 3 if total <= 32 * GIB else total * 3 // 4
