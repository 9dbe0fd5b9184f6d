"""A plan as a value: the chosen tier, what it takes, and how the others compare."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cogmagic._catalog import Dtype
from cogmagic._gpu import GIB
from cogmagic._placement import Needs, Tier
from cogmagic._report import gib
from cogmagic._request import Request
from cogmagic._savings import NO_SAVINGS, Savings

__all__ = ["Candidate", "Plan"]


@dataclass(frozen=True)
class Candidate:
    """One tier as it would be for the request: what it takes, and whether there is that much."""

    needs: Needs
    """As predicted, corrected by past runs."""
    traced: Needs
    """As predicted before that, which new runs are compared with."""
    peak_vram: int | None
    """VRAM that must be free or cached: the allocator's share and, if it is still to come, the
    CUDA context; None where nothing is placed on a GPU."""
    missing_vram: int = 0
    missing_ram: int = 0
    missing_disk: int = 0
    """Where the hub's cache is, for what is still to be downloaded."""

    @property
    def tier(self) -> Tier:
        """The tier's name."""
        return self.needs.tier

    @property
    def peak_allocated(self) -> int | None:
        """Most bytes of tensors at once on one GPU, as ``max_memory_allocated`` tells it."""
        return None if self.peak_vram is None else self.needs.peak_allocated

    @property
    def peak_ram(self) -> int:
        """Most host memory of the process's own; mapped files are not in it."""
        return self.needs.peak_ram

    @property
    def seconds(self) -> float | None:
        """The whole run, or None where the device's speed is unknown."""
        return self.needs.seconds

    @property
    def step_seconds(self) -> float | None:
        """One denoising step, or None where the device's speed is unknown."""
        return self.needs.step_seconds

    @property
    def fits(self) -> bool:
        """Whether it is predicted to run."""
        return not (self.missing_vram or self.missing_ram or self.missing_disk)

    @property
    def lacking(self) -> int:
        """How much is missing of everything, in bytes, to compare by."""
        return self.missing_vram + self.missing_ram + self.missing_disk

    @property
    def lack(self) -> str:
        """What is missing, for people; empty when it fits."""
        parts = {"VRAM": self.missing_vram, "RAM": self.missing_ram, "disk": self.missing_disk}
        return " and ".join(f"{_up(lack)} of {kind}" for kind, lack in parts.items() if lack)

    @property
    def reason(self) -> str:
        """``fits``, or what it lacks."""
        return "fits" if self.fits else f"lacks {self.lack}"


def _up(nbytes: int) -> str:
    """GiB rounded up: so much more is enough."""
    return gib(math.ceil(nbytes / GIB * 100) * GIB // 100)


@dataclass(frozen=True)
class Plan:
    """The chosen tier, what it takes, and how the others compare. Bytes and seconds."""

    request: Request
    candidates: tuple[Candidate, ...]
    """Every tier that the machine can do, the fastest first."""
    tier: Tier
    reason: str
    """One sentence."""
    device: str
    """The device type that computes: ``cuda``, ``mps`` or ``cpu``."""
    dtype: Dtype
    rule: Tier
    """What the published rule says, whatever was chosen."""
    rule_reason: str
    where: str
    """The device that was planned for, in words."""
    gpu: int | None = None
    """Torch's index of the GPU that a run on one takes."""
    changes: tuple[str, ...] = ()
    """What would make a faster tier fit, or any."""
    warnings: tuple[str, ...] = ()
    """What may go wrong although it fits, and what of it rests on no measurement."""
    times: str = ""
    """What the seconds rest on; empty where there are none."""
    download: int = 0
    """Bytes that must come from the hub first."""
    text: bool = True
    """Whether the prompts are still to be encoded; else their embeddings are kept."""
    loaded: bool = False
    """Whether the weights are in host memory, so that most tiers read no file."""
    savings: Savings = NO_SAVINGS
    """What is done to need less memory."""

    @property
    def chosen(self) -> Candidate | None:
        """The candidate of the chosen tier; None where nothing is predicted for it."""
        return next((c for c in self.candidates if c.tier == self.tier), None)

    @property
    def gpus(self) -> tuple[int, ...]:
        """Torch's indices of the GPUs that it would use."""
        if self.chosen and self.chosen.needs.order:
            return self.chosen.needs.order
        return () if self.gpu is None else (self.gpu,)

    @property
    def fits(self) -> bool:
        """Whether the chosen tier is predicted to run, or nothing is predicted for it."""
        return self.chosen is None or self.chosen.fits

    @property
    def peak_vram(self) -> int | None:
        """VRAM that must be free for it, the allocator's overhead and the context included."""
        return self.chosen.peak_vram if self.chosen else None

    @property
    def peak_allocated(self) -> int | None:
        """Most bytes of tensors at once on one GPU, as ``max_memory_allocated`` tells it."""
        return self.chosen.peak_allocated if self.chosen else None

    @property
    def peak_ram(self) -> int | None:
        """Most host memory of the process's own; mapped files are not in it."""
        return self.chosen.peak_ram if self.chosen else None

    @property
    def seconds(self) -> float | None:
        """The whole run, or None where the device's speed is unknown."""
        return self.chosen.seconds if self.chosen else None

    @property
    def step_seconds(self) -> float | None:
        """One denoising step, or None where the device's speed is unknown."""
        return self.chosen.step_seconds if self.chosen else None

    def __str__(self) -> str:
        from cogmagic._plan_text import table

        return table(self)
