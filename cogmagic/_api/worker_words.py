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
    """The workers with their cards and tiers: ``3 workers (2 x H200, tier none; CPU, tier model)``.

    Those that are left out are counted alone.
    """
    kinds = Counter((a.device, a.tier) for a in actors if a.tier and not a.out)
    texts = [
        f"{f'{count} x ' if count > 1 else ''}{device}, tier {tier}"
        for (device, tier), count in kinds.items()
    ]
    out = sum(bool(actor.out) for actor in actors)
    texts += [f"{out} left out: %cogvideo cluster status"] if out else []
    return f"{_workers(kinds.total())} ({'; '.join(texts)})" if texts else _workers(kinds.total())


def _workers(count: int) -> str:
    return f"{count} worker{'s' * (count != 1)}"


def _ranges(numbers: Iterable[int]) -> str:
    """Ascending numbers, those in a row as a range: ``1-3, 7``."""
    runs = [
        [number for _, number in run]
        for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])
    ]
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
