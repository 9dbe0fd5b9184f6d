"""Speedups: what makes a run faster than diffusers' own pipeline. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from cogmagic._pipeline.step_cache import StepCache

__all__ = ["NO_SPEEDUPS", "Speedups"]


@dataclass(frozen=True)
class Speedups:
    """The speedups of one run; fp8 products are a weight storage and not among them."""

    compile: bool = False
    """Whether the transformer's blocks are compiled."""
    attention: str = ""
    """Name of the attention kernel; empty for torch's own, through diffusers' own processor."""
    decode: bool = False
    """Whether the video is decoded fast."""
    cache: StepCache | None = None
    """The step cache; None for none."""

    @property
    def names(self) -> tuple[str, ...]:
        """Those that are on, such as ``compile`` and ``fa3``, for reports and the run history."""
        cache = f"cache {self.cache}" if self.cache else ""
        switches = "compile" if self.compile else "", "decode" if self.decode else ""
        return tuple(filter(None, (*switches, self.attention, cache)))


NO_SPEEDUPS = Speedups()
