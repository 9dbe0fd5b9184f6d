"""The peaks of reserved memory in a run."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["Peaks"]


class Peaks:
    """Peak of reserved memory per GPU over a whole run; torch's counters restart at each phase."""

    def __init__(self) -> None:
        self.bytes: dict[int, int] = {}

    def update(self) -> None:
        """Include the current phase, from torch's counters."""
        import torch

        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            for i in range(torch.cuda.device_count()):
                self.include({i: torch.cuda.max_memory_reserved(i)})

    def include(self, reserved: Mapping[int, int]) -> None:
        """Include these bytes per GPU."""
        self.bytes |= {i: max(n, self.bytes.get(i, 0)) for i, n in reserved.items()}
