"""Amounts of memory that a person types: one parser, one range, one error message."""

from __future__ import annotations

import math
import re
from numbers import Real

from cogmagic._errors import RequestError
from cogmagic._units import GIB

__all__ = ["gib_bytes", "vram_limit_bytes"]


_LEAST, _MOST = 0.5, 4096
"""GiB that an amount may be."""


_GIB_BELOW = 1024
"""A ``vram_limit`` below this is in GiB."""


_BYTES_FROM = 2**29
"""A ``vram_limit`` from this on (0.5 GiB) is in bytes."""


_EXAMPLE = "For 10 GiB: vram_limit=10."


_TEXT = re.compile(r"(.+?)\s*(?:gib|gb|g)?", re.IGNORECASE)


def gib_bytes(amount: object, option: str) -> int:
    """Bytes of an amount in GiB: ``12``, ``12.7``, ``"12GiB"`` or ``"12 GB"`` (read as GiB too).

    Args:
        amount: a number or a text.
        option: what the person types before it, as the message repeats it: ``--vram``, ``ram=``.

    Raises:
        RequestError: for anything else, and outside 0.5 to 4096 GiB, with the nearest amount.
    """
    typed = option if option.endswith("=") else f"{option} "
    number = _number(amount)
    if number is None:
        raise RequestError(f"{typed}{amount!r:.80} is not an amount in GiB, such as {typed}12.")
    if not _LEAST <= number <= _MOST:
        nearest = min(max(number, _LEAST), _MOST)
        raise RequestError(
            f"{typed}{number:g} is out of range ({_LEAST} to {_MOST} GiB)."
            f" Nearest: {typed}{nearest:g}."
        )
    return round(number * GIB)


def vram_limit_bytes(value: object) -> int | None:
    """Bytes of a ``vram_limit`` given in Python: GiB below 1024, bytes from 2**29 on.

    What lies between is an error, because either could be meant. None is no limit.

    Raises:
        RequestError: for no number, for one between, and outside 0.5 to 4096 GiB.
    """
    if value is None:
        return None
    number = None if isinstance(value, str) else _number(value)
    if number is None:
        raise RequestError(f"vram_limit={value!r:.80} is neither GiB nor bytes. {_EXAMPLE}")
    if number < _GIB_BELOW:
        return gib_bytes(number, "vram_limit=")
    if number < _BYTES_FROM:
        mib = number / 1024
        advice = f"If it is in MiB: vram_limit={mib:g}." if mib <= _MOST else _EXAMPLE
        raise RequestError(
            f"vram_limit={number:.15g} is neither GiB (below {_GIB_BELOW}) nor bytes (from"
            f" {_BYTES_FROM:,}). {advice}"
        )
    if number > _MOST * GIB:
        raise RequestError(
            f"vram_limit={number:.15g} bytes is out of range ({_LEAST} to {_MOST} GiB). {_EXAMPLE}"
        )
    return round(number)


def _number(amount: object) -> float | None:
    """The finite number, or the number of a text; None for anything else."""
    if isinstance(amount, str):
        digits = _TEXT.fullmatch(amount.strip())
        amount = digits[1] if digits else ""
    elif isinstance(amount, bool) or not isinstance(amount, Real):
        return None
    try:
        number = float(amount)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
