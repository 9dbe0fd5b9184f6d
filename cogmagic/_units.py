"""Units, and how amounts are shown."""

from __future__ import annotations

__all__ = ["GIB", "MIB", "duration", "gib", "seconds"]


GIB = 2**30


MIB = 2**20


def gib(value: int | None) -> str:
    """Bytes as ``5.10 GiB``; ``n/a`` for None."""
    return "n/a" if value is None else f"{value / GIB:.2f} GiB"


def seconds(value: float | None, least: float | None = None) -> str:
    """Seconds as ``1.88 s``, ``94 s``, ``12 min`` or ``2 h 27 min``; ``n/a`` for None.

    Args:
        value: the amount.
        least: the least of the amounts beside it, whose unit those under two hours have.
    """
    if value is None:
        return "n/a"
    if value < 10:
        return f"{value:.2f} s"
    if value >= 7200:
        return _hours(round(value / 60))
    return f"{value:.0f} s" if (least or value) < 600 else f"{value / 60:.0f} min"


def duration(value: float, decimals: int = 0) -> str:
    """Seconds of a run, which pass while they are shown: ``94 s``, ``12 min 5 s``, ``1 h 2 min``.

    Args:
        value: the seconds.
        decimals: of amounts under two minutes.
    """
    if value < 120:
        return f"{value:.{decimals}f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else _hours(minutes)


def _hours(minutes: int) -> str:
    return f"{minutes // 60} h {minutes % 60} min"
