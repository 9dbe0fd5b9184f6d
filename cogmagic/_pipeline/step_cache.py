"""A step cache: denoising steps that reuse what the step before computed."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["StepCache"]


@dataclass(frozen=True)
class StepCache:
    """The choice of a step cache; imports no torch."""

    name: str
    """As one types it: ``--cache NAME``."""
    threshold: float
    """The relative change up to which a step's blocks are skipped."""
