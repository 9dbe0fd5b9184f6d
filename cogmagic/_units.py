"""Units, and how amounts are shown."""

from __future__ import annotations

__all__ = ["GIB", "MIB", "gib", "seconds"]


GIB = 2**30


MIB = 2**20


def gib(value: int | None) -> str:
    """Bytes as ``5.10 GiB``; ``n/a`` for None."""
    return "n/a" if value is None else f"{value / GIB:.2f} GiB"


def seconds(value: float | None, least: float | None = None) -> str:
    """Seconds as ``1.88 s``, ``94 s`` or ``12 min``; ``n/a`` for None.

    Args:
        value: the amount.
        least: the least of the amounts beside it, whose unit all of them have.
    """
    if value is None:
        return "n/a"
    if value < 10:
        return f"{value:.2f} s"
    return f"{value:.0f} s" if (least or value) < 600 else f"{value / 60:.0f} min"
