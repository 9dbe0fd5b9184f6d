"""What a run can do, when asked, to need less memory. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import combinations

from cogmagic._footprint.footprint import Footprint

__all__ = ["NO_SAVINGS", "Savings"]


@dataclass(frozen=True)
class Savings:
    """Ways to need less memory, each with its price; none is taken without being asked for."""

    lean_decode: bool = False
    """Decode with fewer tensors alive at once; the frames are the same."""
    guidance_halves: bool = False
    """Denoise with the prompt and without it one after the other; the same within rounding."""
    fp8: bool = False
    """Keep the linear layers of the transformer's blocks in 8 bits; the picture changes."""

    @property
    def names(self) -> tuple[str, ...]:
        """Those that are on, by their Python names."""
        return tuple(f.name for f in fields(self) if getattr(self, f.name))

    @property
    def flags(self) -> str:
        """As they are typed: ``--lean-decode --fp8``."""
        return " ".join(f"--{name.replace('_', '-')}" for name in self.names)

    @property
    def price(self) -> str:
        """What they cost in picture and speed, in words (docs/benchmarks, savings)."""
        picture = "the same picture"
        if self.guidance_halves:
            picture += " within rounding"
        if self.fp8:
            picture = "another picture"
        return picture + ("; decoding takes longer" if self.lean_decode else "")

    def more(self) -> Iterator[Savings]:
        """These and others, as few as can be first; what changes the picture comes last."""
        off = [f.name for f in fields(self) if not getattr(self, f.name)]
        sets = [names for count in range(1, len(off) + 1) for names in combinations(off, count)]
        for names in sorted(sets, key=lambda names: "fp8" in names):
            yield replace(self, **dict.fromkeys(names, True))

    def shrunk(self, f: Footprint) -> Footprint:
        """The footprint with the transformer's weights as they are kept.

        Fp8 leaves each linear layer its weight in full while it runs.
        """
        if not self.fp8:
            return f
        part = f.transformer
        weights = part.weights - part.blocks * part.fp8_saves
        smaller = replace(part, weights=weights, block=part.block - part.fp8_saves)
        widened = part.largest_leaf
        work = replace(
            f.denoise,
            peak=f.denoise.peak + widened,
            leaf_peak=f.denoise.leaf_peak + widened // 2,
        )
        return replace(f, transformer=smaller, denoise=work)


NO_SAVINGS = Savings()
