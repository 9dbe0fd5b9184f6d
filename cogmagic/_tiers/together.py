"""What several ranks need that make one video together. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from cogmagic._tiers.base import Tier, Variant
from cogmagic._tiers.host_memory import PROCESS, RESERVE, process
from cogmagic._tiers.needs import Needs, predict
from cogmagic._tiers.workload import Workload

__all__ = ["COMMUNICATOR", "predict_together"]

COMMUNICATOR = 3 * 2**28
"""Bytes of a GPU that NCCL takes for the groups of a rank, outside of torch's allocator: not
measured."""
_START = 17.0
"""Seconds until the ranks' processes have imported the libraries (15) and are connected (2) on a
host of two H200s (docs/benchmarks/parallel.jsonl)."""


def predict_together(
    tier: Tier, work: Workload, variant: Variant, correct: Callable[[Needs], Needs]
) -> Needs:
    """What `tier` takes for ranks that make the video of `work` together, the first rank first.

    Each has the weights in its own memory where that fits for all; else they stay memory-mapped
    files, which the processes share.

    Args:
        tier: the tier of each rank.
        work: the first rank's workload.
        variant: the tier's choices.
        correct: toward what past runs on one GPU took.
    """

    def of_all(ram: int | None, *, copies: bool) -> Needs:
        ranks = (replace(w, ram=ram, copies=copies) for w in (work, work.of_others()))
        first, other = (correct(predict(tier, rank, variant)) for rank in ranks)
        return _together(first, other, work)

    if work.copies:
        needs = of_all(None, copies=True)
        if not needs.copies or work.ram is None or needs.peak_ram + RESERVE <= work.ram:
            return needs
    left = None if work.ram is None else work.ram - process(work) - (work.split.count - 1) * PROCESS
    return of_all(left, copies=False)


def _together(first: Needs, other: Needs, work: Workload) -> Needs:
    """The needs of all ranks, which run at once, and of the kernel that waits for them."""
    others = work.split.count - 1
    beside = process(work) + others * other.peak_ram
    needs = replace(
        first,
        gpus=first.gpus + others * other.gpus,
        peak_ram=first.peak_ram + beside,
        beside=beside,
    )
    seconds, later = (first.seconds, other.seconds), (first.next_seconds, other.next_seconds)
    if None in seconds or None in later:
        return needs
    begins, again = (0.0 if work.loaded else _START), (0.0 if work.stays else _START)
    return replace(
        needs,
        seconds=max(s for s in seconds if s is not None) + begins,
        next_seconds=max(s for s in later if s is not None) + again,
    )
