"""One tier as it would run a request: what it takes, and what the machine lacks for it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cogmagic._footprint.savings import Savings
from cogmagic._pipeline.speedups import Speedups
from cogmagic._planning.resolved import EXACT, Resolved
from cogmagic._tiers.base import Tier
from cogmagic._tiers.needs import Needs
from cogmagic._tiers.registry import TIERS
from cogmagic._units import GIB, gib

__all__ = ["Candidate"]


@dataclass(frozen=True)
class Candidate:
    """One tier as it would run a request. Bytes and seconds."""

    needs: Needs
    """As predicted, corrected by past runs."""
    traced: Needs
    """As predicted before that correction; new runs are compared with it."""
    peak_vram: int | None
    """VRAM that must be free or cached: the allocator's share and, if it does not exist yet, the
    CUDA context; None where nothing is placed on a GPU."""
    peaks: tuple[int, ...] = ()
    """The same of each GPU in use; where several make the video together, by rank."""
    missing_vram: int = 0
    missing_ram: int = 0
    missing_disk: int = 0
    """On the disk of the hub's cache, for the rest of the download."""
    missing_addresses: int = 0
    """In the address space that the process may map, files included (``ulimit -v``)."""
    shared: bool = False
    """Whether the GPU's memory is the host's, so that both draw on the same memory."""
    resolved: Resolved = EXACT
    """What it uses of the options and the speed."""
    compile_seconds: float = 0.0
    """Seconds of compiling before the first step, which are among `seconds`."""

    @property
    def tier(self) -> str:
        """The tier's name."""
        return self.needs.tier

    @property
    def speedups(self) -> Speedups:
        """What makes it faster than diffusers' own pipeline."""
        return self.resolved.speedups

    @property
    def savings(self) -> Savings:
        """The options that need less memory, as it uses them."""
        return self.resolved.savings

    @property
    def placement(self) -> Tier:
        """The tier."""
        return TIERS[self.needs.tier]

    @property
    def peak_allocated(self) -> int | None:
        """Most bytes of tensors at once on one GPU, as ``max_memory_allocated`` reports it."""
        return None if self.peak_vram is None else self.needs.peak_allocated

    @property
    def peak_ram(self) -> int:
        """Most host memory of the process's own, without memory-mapped files."""
        return self.needs.peak_ram

    @property
    def host_memory(self) -> int:
        """Host memory that it takes, including the GPU's where they share it."""
        return self.peak_ram + ((self.peak_vram or 0) if self.shared else 0)

    @property
    def seconds(self) -> float | None:
        """The whole run, or None where the device's speed is unknown."""
        return self.needs.seconds

    @property
    def next_seconds(self) -> float | None:
        """The next clip of this shape in the same kernel; None where `seconds` is unknown.

        Weights that stay in host memory are not loaded again, and nothing is compiled.
        """
        return self.needs.next_seconds

    @property
    def seconds_again(self) -> float | None:
        """The whole run where nothing has to be compiled; None where `seconds` is unknown."""
        return None if self.seconds is None else self.seconds - self.compile_seconds

    @property
    def step_seconds(self) -> float | None:
        """One denoising step, or None where the device's speed is unknown."""
        return self.needs.step_seconds

    @property
    def fits(self) -> bool:
        """Whether it is predicted to run."""
        return not self.missing

    @property
    def missing(self) -> int:
        """Everything that is missing, in bytes, to compare by."""
        memory = self.missing_vram + max(self.missing_ram, self.missing_addresses)
        return memory + self.missing_disk

    @property
    def shortfall(self) -> str:
        """What is missing, such as ``5.10 GiB of VRAM and 2.00 GiB of RAM``; empty if it fits."""
        return " and ".join(f"{amount} of {kind}" for kind, amount in self._amounts())

    @property
    def addition(self) -> str:
        """What would have to be added, such as ``5.10 GiB more VRAM``; empty if it fits."""
        return " and ".join(f"{amount} more {kind}" for kind, amount in self._amounts())

    @property
    def reason(self) -> str:
        """``fits``, or what it lacks."""
        return "fits" if self.fits else f"lacks {self.shortfall}"

    def _amounts(self) -> list[tuple[str, str]]:
        both = self.missing_vram + self.missing_ram if self.shared else 0
        missing = {
            "memory": both,
            "VRAM": self.missing_vram if not both else 0,
            "RAM": self.missing_ram if not both else 0,
            "address space (ulimit -v)": self.missing_addresses,
            "disk": self.missing_disk,
        }
        return [(kind, _rounded_up(nbytes)) for kind, nbytes in missing.items() if nbytes]


def _rounded_up(nbytes: int) -> str:
    """GiB rounded up, so that adding as much is enough."""
    return gib(math.ceil(nbytes / GIB * 100) * GIB // 100)
