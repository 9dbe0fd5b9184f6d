"""Memory that is missing for a tier: on GPUs, on the host, and on both where they share it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cogmagic._machine.gpu import Gpu
from cogmagic._machine.ram import Ram

__all__ = ["Pools"]


@dataclass(frozen=True)
class Pools:
    """The memory of the GPUs in use and of the host, and what a tier takes of it, in bytes."""

    taken: Sequence[tuple[Gpu, int]]
    """What torch's allocator takes of each GPU in use."""
    host: int
    """What the process takes of the host's memory."""
    ram: Ram

    @property
    def shared(self) -> bool:
        """Whether a GPU in use has the host's memory."""
        return any(g.unified for g, _ in self.taken)

    @property
    def missing_vram(self) -> int:
        """The largest shortage of a GPU; of a unified one, what exceeds `missing_ram`."""
        known = self.ram.for_me is not None
        limits = ((g.quota if g.unified and known else g.room, n) for g, n in self.taken)
        missing = max((lacking(nbytes, limit) for limit, nbytes in limits), default=0)
        return max(missing - self.missing_ram, 0) if self.shared else missing

    @property
    def missing_ram(self) -> int:
        """The shortage of host memory, with what unified GPUs take of it."""
        if self.ram.for_me is None:
            return 0
        return lacking(self.host + self._on_host, self._most)

    @property
    def left(self) -> int:
        """Bytes left on the fullest GPU; negative for a shortage."""
        own = (
            (self._most - self.host - self._on_host) if g.unified else (g.room or 0) - nbytes
            for g, nbytes in self.taken
        )
        return min(own, default=0)

    @property
    def _on_host(self) -> int:
        """What unified GPUs take, their CUDA contexts included."""
        return sum(nbytes + g.context_to_come for g, nbytes in self.taken if g.unified)

    @property
    def _most(self) -> int:
        """Host memory that this process and unified GPUs could use together."""
        return (self.ram.for_me or 0) + sum(g.cached for g, _ in self.taken if g.unified)


def lacking(nbytes: int, most: int | None) -> int:
    """By how much `nbytes` exceeds `most`; 0 where `most` is unknown."""
    return 0 if most is None else max(nbytes - most, 0)
