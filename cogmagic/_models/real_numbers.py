"""Numbers from a user that need not be whole."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from cogmagic._errors import RequestError

__all__ = ["real_number"]


def real_number(name: str, value: object) -> float:
    """A number as a float, which may be NaN or infinite.

    Args:
        name: the option's, for the error.
        value: an int, a float, a fraction or a scalar of NumPy.

    Raises:
        RequestError: for anything else.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise RequestError(f"{name}={value!r:.80} is not a number.")
    number: Any = value
    try:
        return float(number)
    except OverflowError:  # an int of more than 308 digits
        return math.inf if number > 0 else -math.inf
