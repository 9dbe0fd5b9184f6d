"""Rules of timesteps that a person chooses, and of the steps and the scheduler beside them."""

from __future__ import annotations

from collections.abc import Iterable
from operator import index
from typing import Any

from cogmagic._errors import RequestError
from cogmagic._models import rules
from cogmagic._models.model import SCHEDULERS, Model, Scheduler

__all__ = ["as_timesteps", "scheduler_at", "steps_at"]


_NOISIEST = 999
"""The highest timestep: the family is trained with 1000 (``num_train_timesteps``)."""


_LARGEST_SHOWN = 10**9
"""Python writes no numbers of more than 4300 digits."""


def as_timesteps(value: object, option: str = "timesteps=") -> tuple[int, ...]:
    """Descending timesteps of 0 to 999, of a list or of text such as ``999,749``; () for None.

    Args:
        value: the list or the text.
        option: the option as it is typed, for the error.

    Raises:
        RequestError: with the nearest legal list.
    """
    if value is None or (isinstance(value, tuple) and not value):
        return ()
    typed = option if option.endswith("=") else f"{option} "
    try:
        numbers = [_whole(one) for one in _parts(value)]
    except (TypeError, ValueError):
        raise RequestError(
            f"{typed}{value!r:.80} is not a list of whole numbers like 999,749,499,249."
        ) from None
    if not numbers:
        raise RequestError(f"{typed}{value!r:.80} lists no timesteps. Leave it out.")
    legal = sorted({min(max(n, 0), _NOISIEST) for n in numbers}, reverse=True)
    if numbers != legal:
        wrong = next((n for n in numbers if not 0 <= n <= _NOISIEST), None)
        problem = "do not descend" if wrong is None else f"must be 0 to {_NOISIEST}, not {wrong}"
        raise RequestError(
            f"The timesteps {_listed(numbers)} {problem}. Nearest: {typed}{_listed(legal)}."
        )
    return tuple(numbers)


def steps_at(model: Model, num_inference_steps: int | None, timesteps: tuple[int, ...]) -> int:
    """Denoising steps: as many as there are timesteps; without these, the model's default.

    Raises:
        RequestError: for another number.
    """
    if num_inference_steps is None and timesteps:
        return len(timesteps)
    checked = rules.steps(model, num_inference_steps)
    if timesteps and checked != len(timesteps):
        raise RequestError(
            f"The number of timesteps is {len(timesteps)} ({_listed(timesteps)}), but"
            f" --num-inference-steps is {checked}. Leave out --num-inference-steps."
        )
    return checked


def scheduler_at(model: Model, name: str | None, timesteps: tuple[int, ...]) -> Scheduler:
    """The scheduler: DDIM with timesteps; without these, the model's default.

    Raises:
        RequestError: for an unknown one, and for DPM with timesteps.
    """
    choice: Scheduler | None = rules.choice("scheduler", name, SCHEDULERS)
    if timesteps and choice not in (None, "ddim"):
        raise RequestError(
            f"The timesteps {_listed(timesteps)} need --scheduler ddim, not {choice}."
            f" Leave out --scheduler {choice}."
        )
    return choice or ("ddim" if timesteps else model.scheduler)


def _parts(value: object) -> Iterable[Any]:
    if isinstance(value, str):
        return value.split(",")
    if isinstance(value, Iterable) and not isinstance(value, bytes | dict | set | frozenset):
        return value
    raise TypeError


def _whole(one: Any) -> int:
    """A whole number; numpy's and torch's, too, but no bool."""
    if isinstance(one, bool):
        raise TypeError
    number = int(one) if isinstance(one, str) else index(one)
    return max(min(number, _LARGEST_SHOWN), -_LARGEST_SHOWN)


def _listed(numbers: Iterable[int]) -> str:
    """The first numbers, as one types them."""
    shown = [str(n) for n in numbers]
    return ",".join(shown[:12]) + ",…" * (len(shown) > 12)
