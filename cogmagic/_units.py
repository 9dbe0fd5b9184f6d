"""Units, and amounts as people read them."""

from __future__ import annotations

__all__ = ["GIB", "gib"]


GIB = 2**30


MIB = 2**20


def gib(value: int | None) -> str:
    """Bytes as GiB for people, or ``n/a``."""
    return "n/a" if value is None else f"{value / GIB:.2f} GiB"


def seconds(value: float | None) -> str:
    """Seconds for people: ``1.88``, ``94 s``, ``12 min``, or ``n/a``."""
    if value is None:
        return "n/a"
    if value < 10:
        return f"{value:.2f} s"
    return f"{value:.0f} s" if value < 600 else f"{value / 60:.0f} min"
