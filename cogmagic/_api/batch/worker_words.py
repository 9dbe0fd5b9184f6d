"""What the live line and the facts of a batch say about the workers of a cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

from cogmagic._cluster.cluster import Actor

__all__ = ["rows_at_work", "workers_used"]


def rows_at_work(actors: Sequence[Actor]) -> str:
    """The rows that the workers are making: ``3 workers: rows 4-5, 7``."""
    rows = sorted({actor.row for actor in actors if actor.row})
    working = _workers(sum(not actor.out for actor in actors))
    return f"{working}: row{'s' * (len(rows) > 1)} {_ranges(rows)}" if rows else working


def workers_used(actors: Sequence[Actor]) -> str:
    """The workers with their cards and tiers, and the cards that are left out, with the reason.

    For example ``3 workers (2 x H200, tier none; T4, tier stream)``; empty if none has worked.
    """
    kinds = Counter(f"{a.device}, tier {a.tier}" for a in actors if a.tier and not a.out)
    out = Counter(f"{a.device or a.node} left out: {_sentence(a.out)}" for a in actors if a.out)
    texts = [f"{count} x {kind}" if count > 1 else kind for kind, count in (kinds + out).items()]
    return f"{_workers(kinds.total())} ({'; '.join(texts)})" if texts else ""


def _sentence(text: str) -> str:
    """The first sentence of a text, without its full stop."""
    return text.split(". ")[0].removesuffix(".")


def _workers(count: int) -> str:
    return f"{count} worker{'s' * (count != 1)}"


def _ranges(numbers: Iterable[int]) -> str:
    """Ascending numbers, those in a row as a range: ``1-3, 7``."""
    runs = [
        [number for _, number in run]
        for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])
    ]
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
