"""The figures of a plan: those of its chosen candidate."""

from __future__ import annotations

from cogmagic._footprint.savings import Savings
from cogmagic._pipeline.speedups import Speedups
from cogmagic._planning.candidate import Candidate
from cogmagic._planning.resolved import Resolved
from cogmagic._tiers.base import ONE_GPU, Tier, Variant
from cogmagic._tiers.registry import TIERS

__all__ = ["PlanFigures"]


class PlanFigures:
    """The figures of the chosen tier; None where nothing is predicted for it."""

    candidates: tuple[Candidate, ...]
    tier: str
    unpredicted: Resolved

    @property
    def placement(self) -> Tier:
        """The chosen tier."""
        return TIERS[self.tier]

    @property
    def variant(self) -> Variant:
        """The chosen tier's choices."""
        return self.chosen.needs.variant if self.chosen else ONE_GPU

    @property
    def chosen(self) -> Candidate | None:
        """The candidate of the chosen tier; None where nothing is predicted for it."""
        return next((c for c in self.candidates if c.tier == self.tier), None)

    @property
    def resolved(self) -> Resolved:
        """What the run uses of the options and the speed."""
        return self.chosen.resolved if self.chosen else self.unpredicted

    @property
    def speedups(self) -> Speedups:
        """What makes the run faster than diffusers' own pipeline."""
        return self.resolved.speedups

    @property
    def savings(self) -> Savings:
        """The options that need less memory, as the run uses them."""
        return self.resolved.savings

    @property
    def compile_seconds(self) -> float:
        """Seconds of compiling before the first step, which are among `seconds`."""
        return self.chosen.compile_seconds if self.chosen else 0.0

    @property
    def fits(self) -> bool:
        """Whether the chosen tier is predicted to run, or nothing is predicted for it."""
        return self.chosen is None or self.chosen.fits

    @property
    def peak_vram(self) -> int | None:
        """VRAM that must be free, the allocator's overhead and the CUDA context included."""
        return self.chosen.peak_vram if self.chosen else None

    @property
    def peaks(self) -> tuple[int, ...]:
        """`peak_vram` of each GPU that the run uses; of several that share its work, by rank."""
        return self.chosen.peaks if self.chosen else ()

    @property
    def peaks_allocated(self) -> tuple[int, ...]:
        """`peak_allocated` of each of them."""
        return (
            tuple(max(p.values()) for p in self.chosen.needs.gpus)
            if self.peaks and self.chosen
            else ()
        )

    @property
    def peak_allocated(self) -> int | None:
        """Most bytes of tensors at once on one GPU, as ``max_memory_allocated`` reports it."""
        return self.chosen.peak_allocated if self.chosen else None

    @property
    def peak_ram(self) -> int | None:
        """Most host memory of the process's own, without memory-mapped files."""
        return self.chosen.peak_ram if self.chosen else None

    @property
    def seconds(self) -> float | None:
        """The whole run, or None where the device's speed is unknown."""
        return self.chosen.seconds if self.chosen else None

    @property
    def step_seconds(self) -> float | None:
        """One denoising step, or None where the device's speed is unknown."""
        return self.chosen.step_seconds if self.chosen else None
