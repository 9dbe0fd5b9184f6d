"""Corrections of predicted memory and time by past runs on the same card. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cogmagic._machine.history import PastRun

__all__ = ["Correction", "Situation", "alike", "memory_correction", "speed_correction"]


_PRIOR = 2.0
"""Weight of the prior that predictions are exact: as much as two runs of the same kind."""


_PULL = 0.125
"""Huber's threshold, as a logarithm: runs that are further off pull no harder."""


_NEAREST = 9
"""How many of the nearest runs count."""


_SUBSTANTIAL = 0.05
"""Seconds a step from which a run is evidence for other models; shorter steps are overhead."""


_MEMORY = (0.95, 2.0)
"""The range of memory corrections."""


_SPEED = (0.1, 10.0)
"""The range of speed corrections."""


_REMAINS_SAME, _REMAINS_OTHER = 0.5, 0.8
"""How much of an out-of-memory's evidence remains after a run of the same kind, and of another."""


_Value = Callable[["PastRun"], tuple[float | None, float | None]]


@dataclass(frozen=True)
class Situation:
    """The run to predict, for finding past runs like it. Empty text matches anything."""

    card: str
    model: str = ""
    tier: str = ""
    dtype: str = ""
    size: str = ""
    num_frames: int | None = None
    versions: str = ""
    """As `PastRun.versions`: only releases of the same major and minor number are alike."""
    driver: str = ""
    """As `PastRun.driver`: only the same major number is alike."""
    rates: str = ""
    """As `PastRun.rates`: steps predicted from a datasheet say nothing about a probe's."""
    uses: str = ""
    """As `PastRun.uses`: only runs with the same savings and speedups are alike."""


@dataclass(frozen=True)
class Correction:
    """A factor for the prediction, and how many runs it rests on."""

    factor: float = 1.0
    runs: int = 0


def memory_correction(rows: Sequence[PastRun], situation: Situation) -> Correction:
    """How much more memory than predicted runs like `situation` allocated.

    The factor on which successful runs agree (see `_agreed`), but at least the one that an
    out-of-memory of the same model, dtype and tier proves: more than the available VRAM was
    needed. Each later success of the same kind halves the logarithm of that proof, and any other on
    the card leaves 0.8 of it, so that a tier lost to a passing shortage is tried again. Within 0.95
    and 2: a prediction is hardly lowered, since too low a one ends the run.

    Args:
        rows: past runs, oldest first; their clocks are ignored.
        situation: the run to predict.
    """
    near = alike(rows, situation)
    ran = [pair for pair in near if not pair[1].out_of_memory]
    agreed, count = _agreed(ran, lambda p: (p.predicted_allocated, p.measured_allocated))
    floor, proofs = _proven(near, situation)
    # Evidence that has faded to less than 1 % no longer counts, so the runs may agree below 1.
    log = max(agreed, floor) if floor > 0.01 else agreed
    return Correction(_within(log, _MEMORY), count + proofs)


def speed_correction(rows: Sequence[PastRun], situation: Situation) -> Correction:
    """How many times the predicted seconds a step took in runs like `situation`.

    The factor on which they agree (see `_agreed`), within 0.1 and 10.

    Args:
        rows: past runs, oldest first.
        situation: the run to predict.
    """
    agreed, count = _agreed(alike(rows, situation), lambda p: (p.predicted_step, p.measured_step))
    return Correction(_within(agreed, _SPEED), count)


def alike(rows: Sequence[PastRun], s: Situation) -> list[tuple[float, PastRun]]:
    """Runs on the same card with like software, each with its weight.

    1 for the same model, dtype, tier and clip, 1/2 if only tier or clip are others, else 1/4.
    Powers of two, so that sums of them are exact.
    """
    near = []
    for row in rows:
        other_kind = row.card != s.card or row.uses != s.uses or not _same(row.rates, s.rates)
        if other_kind or not _like_software(row, s):
            continue
        model = _same(row.model, s.model) and _same(row.dtype, s.dtype)
        if not model and (row.predicted_step or 0.0) < _SUBSTANTIAL:
            continue
        clip = _same(row.size, s.size) and s.num_frames in (None, row.num_frames)
        weight = 0.25 if not model else 1.0 if clip and _same(row.tier, s.tier) else 0.5
        near.append((weight, row))
    return near


def _same(one: str, other: str) -> bool:
    return not one or not other or one == other


def _same_kind(row: PastRun, s: Situation) -> bool:
    """Of the same model, dtype and tier."""
    pairs = ((row.model, s.model), (row.dtype, s.dtype), (row.tier, s.tier))
    return all(_same(one, other) for one, other in pairs)


def _like_software(row: PastRun, s: Situation) -> bool:
    mine, theirs = _releases(s.versions), _releases(row.versions)
    drivers = (d.partition(".")[0] for d in (row.driver, s.driver))
    return _same(*drivers) and all(theirs.get(k, v) == v for k, v in mine.items())


@lru_cache(maxsize=64)
def _releases(versions: str) -> Mapping[str, str]:
    """The major and minor numbers in ``torch 2.11.0, diffusers 0.42.1``."""
    return dict(re.findall(r"(\w+) (\d+\.\d+)", versions))


def _agreed(alike: Sequence[tuple[float, PastRun]], value: _Value) -> tuple[float, int]:
    """The logarithm that the nearest runs agree on, and how many had one.

    Huber's estimate of log(measured / predicted) from the nine nearest runs, of equals the newest,
    and a run of weight 2 that was exactly as predicted: where they pull as hard to either side,
    each by its weight and by its distance up to an eighth (P. J. Huber, "Robust Estimation of a
    Location Parameter", 1964). One run of weight 1 moves it by a third of the way, but by 6 % at
    most; two that agree go half way, three stay at most 8 % short of what they say, nine 3 %.
    """
    known = [(w, log) for w, row in reversed(alike) if (log := _log(*value(row))) is not None]
    nearest = sorted(known, key=lambda pair: -pair[0])[:_NEAREST]
    return _balance([*nearest, (_PRIOR, 0.0)]), len(nearest)


def _proven(alike: Sequence[tuple[float, PastRun]], s: Situation) -> tuple[float, int]:
    """The logarithm that out-of-memory runs prove the factor to exceed, and how many prove it."""
    floor, proofs = 0.0, 0
    for _, row in alike:
        same = _same_kind(row, s)
        if not row.out_of_memory:
            floor *= _REMAINS_SAME if same else _REMAINS_OTHER
            continue
        log = _log(row.predicted_allocated, row.limit or row.measured_allocated)
        if same and log is not None and log > 0:  # else it was not predicted to fit
            floor, proofs = max(floor, log), proofs + 1
    return floor, proofs


def _log(predicted: float | None, measured: float | None) -> float | None:
    """log(measured / predicted); None where either is no positive finite number."""
    for amount in (predicted, measured):
        if amount is None or not 0 < amount < 1e300:  # also refuses NaN
            return None
    assert predicted is not None  # noqa: S101 - the loop says so
    assert measured is not None  # noqa: S101
    return math.log(measured) - math.log(predicted)


def _balance(pairs: Sequence[tuple[float, float]]) -> float:
    """Where (weight, value) pull as hard to either side; the middle of all such places."""
    mirrored = [(weight, -value) for weight, value in pairs]
    return (_first_balance(pairs) - _first_balance(mirrored)) / 2


def _first_balance(pairs: Sequence[tuple[float, float]]) -> float:
    """The least place where they pull no more to the right."""

    def pull(place: float) -> float:
        total = sum(w * min(max(value - place, -_PULL), _PULL) for w, value in pairs)
        return round(total, 12)  # so that equal pulls cancel exactly

    # Pull falls from place to place, straight between those where some value begins to pull less.
    bends = sorted({value + side for _, value in pairs for side in (-_PULL, _PULL)})
    for left, right in pairwise(bends):
        before, after = pull(left), pull(right)
        if after <= 0:
            return left + (right - left) * before / (before - after)
    raise AssertionError("at the last place everything pulls to the left")


def _within(log: float, limits: tuple[float, float]) -> float:
    least, most = limits
    return min(max(math.exp(min(log, 100.0)), least), most)
