"""The lines of a plan about its tiers and its GPUs."""

from __future__ import annotations

from collections.abc import Sequence

from cogmagic._planning.candidate import Candidate
from cogmagic._units import gib, seconds

__all__ = ["peaks_text", "tier_lines"]

_COLUMNS = "  {:<12} {:>10} {:>10} {:>8} {:>8}  {}"


def tier_lines(candidates: Sequence[Candidate], tier: str) -> list[str]:
    """A line for each tier below the columns' names, with an arrow before `tier`."""
    if not candidates:
        return []
    lines = [_COLUMNS.format("tier", "VRAM", "RAM", "s/step", "total", "fits").rstrip()]
    for candidate in candidates:
        mark = "→" if candidate.tier == tier else " "
        lines.append(mark + _row(candidate)[1:])
    return lines


def peaks_text(gpus: Sequence[int], peaks: Sequence[int]) -> str:
    """The peaks of GPUs, such as ``25.86 GiB on GPU 0; 16.82 GiB on GPU 1, 2, 3``."""
    by_peak: dict[str, list[str]] = {}
    for gpu, peak in zip(gpus, peaks, strict=False):  # a CPU has no peaks
        by_peak.setdefault(gib(peak), []).append(str(gpu))
    return "; ".join(f"{peak} on GPU {', '.join(on)}" for peak, on in by_peak.items())


def _row(c: Candidate) -> str:
    fits, resident = "yes" if c.fits else f"no, {c.reason}", c.needs.variant.resident_blocks
    step, total = seconds(c.step_seconds), seconds(c.seconds)
    fits += f", {resident} blocks stay" if resident else ""
    return _COLUMNS.format(c.tier, gib(c.peak_vram), gib(c.peak_ram), step, total, fits)
