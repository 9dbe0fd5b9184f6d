"""The guidance interval: the steps that have guidance, by shares of all steps."""

from __future__ import annotations

import math
from typing import Any

from cogmagic._errors import RequestError
from cogmagic._models.real_numbers import real_number

__all__ = ["guided_steps", "interval_at"]


_TOLERANCE = 0.01
"""Of a step: 0.3333 of 30 steps are 10 steps."""


def guided_steps(steps: int, begin: float, end: float) -> range:
    """The steps in the interval, counted from 0.

    Step i is inside where begin ≤ i / steps < end, within a hundredth of a step.
    """
    first, stop = (math.ceil(share * steps - _TOLERANCE) for share in (begin, end))
    return range(max(first, 0), min(stop, steps))


def interval_at(steps: int, scale: float, begin: object, end: object) -> tuple[float, float]:
    """The interval's begin and end; 0 and 1 for None.

    Args:
        steps: denoising steps.
        scale: the guidance scale.
        begin: `guidance_from` as it was given.
        end: `guidance_until` as it was given.

    Raises:
        RequestError: for shares outside 0 to 1, for an interval that is reversed or holds no step,
            and for one without guidance.
    """
    first = _share("guidance_from", begin, 0.0, steps)
    last = _share("guidance_until", end, 1.0, steps)
    if (first, last) != (0.0, 1.0) and scale <= 1.0:
        raise RequestError(
            "--guidance-scale is 1, so no step has guidance, and an interval changes nothing."
            " Leave out --guidance-from and --guidance-until."
        )
    if first > last:
        raise RequestError(
            f"--guidance-from {first:.10g} is after --guidance-until {last:.10g}."
            f" Type --guidance-from {last:.10g} --guidance-until {first:.10g}."
        )
    if not guided_steps(steps, first, last):
        step = min(int(first * steps), steps - 1)
        none = f"holds none of the {steps} steps"
        lacks = "leaves the only step without guidance" if steps == 1 else none
        raise RequestError(
            f"--guidance-from {first:.10g} --guidance-until {last:.10g} {lacks}."
            f" Nearest: --guidance-from {step / steps:g} --guidance-until {(step + 1) / steps:g}."
            " For no guidance: --guidance-scale 1."
        )
    return first, last


def _share(name: str, value: Any, default: float, steps: int) -> float:
    """A share of the steps; `default` for None."""
    if value is None:
        return default
    share = real_number(name, value)
    if 0 <= share <= 1:  # not NaN
        return share
    flag = f"--{name.replace('_', '-')}"
    if 1 < share < steps + default and share.is_integer():
        nearest = f"For {share:g} of {steps} steps: {flag} {share / steps:g}"
    elif (share < 0) == (default == 0) and math.isfinite(share):
        nearest = f"Nearest: {flag} {default:g}"
    else:
        nearest = f"Leave out {flag}"
    raise RequestError(
        f"{flag} is {share:.10g}, but must be a share of the steps, 0 to 1. {nearest}."
    )
