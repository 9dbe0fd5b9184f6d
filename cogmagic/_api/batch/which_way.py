"""The fastest ways to make a batch on several GPUs, from the plans of one machine's parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from heapq import heapify, heapreplace

from cogmagic._api.batch.batch_plan import BatchPlan
from cogmagic._api.batch.ways import Way, Ways
from cogmagic._errors import RequestError, TierError
from cogmagic._machine.machine import Machine
from cogmagic._models.request import Request
from cogmagic._planning.memory_options import MemoryOptions
from cogmagic._planning.ranks import legal_counts

__all__ = ["PlanBatch", "ways_of"]

PlanBatch = Callable[[MemoryOptions, Machine], BatchPlan]
"""The plans of the batch's rows with options on a machine."""


def ways_of(
    request: Request, memory: MemoryOptions, machine: Machine, plan: PlanBatch
) -> Ways | None:
    """The ways to make a batch on the GPUs of a machine; None with less than two.

    Args:
        request: that of the first row.
        memory: the options about memory, of which `parallel` is ignored.
        machine: where.
        plan: makes the plans.
    """
    if machine.device != "cuda" or len(machine.gpus) < 2:
        return None
    one = replace(memory, parallel=1)
    return Ways(_at_once(one, machine, plan), _together(request, one, machine, plan))


def _at_once(memory: MemoryOptions, machine: Machine, plan: PlanBatch) -> Way | None:
    """A video on each GPU, by processes that share the host's memory."""
    left_out, workers = dict[str, list[int]](), list[_Worker]()
    for gpu in machine.gpus:
        worker = _worker(memory, _alone(machine, gpu.index), plan)
        if isinstance(worker, str):
            left_out.setdefault(worker, []).append(gpu.index)
        else:
            workers.append(worker)
    if len(workers) < 2:
        return None
    note = "; ".join(
        f"GPU {' and '.join(map(str, own))} left out: {why}" for why, own in left_out.items()
    )
    return Way(
        option="%cogvideo cluster local",
        gpus=len(workers),
        at_once=len(workers),
        video_seconds=max(worker.warm[0] for worker in workers),
        batch_seconds=_makespan(workers),
        note=note,
    )


def _together(
    request: Request, memory: MemoryOptions, machine: Machine, plan: PlanBatch
) -> Way | None:
    """The number of GPUs for each video with which the batch ends first, if any gains."""
    alone, best = _worker(memory, machine, plan), None
    least = None if isinstance(alone, str) else alone.seconds
    for count in legal_counts(request, len(machine.gpus))[1:]:
        worker = _worker(replace(memory, parallel=count), machine, plan)
        if isinstance(worker, str) or (least is not None and worker.seconds >= least):
            continue
        least, best = (
            worker.seconds,
            Way(f"--parallel {count}", count, 1, worker.warm[0], worker.seconds),
        )
    return best


@dataclass(frozen=True)
class _Worker:
    """The seconds that one GPU, or several together, need for a batch."""

    seconds: float
    """For all rows."""
    warm: tuple[float, ...]
    """For each row of each kind, the weights loaded."""
    rows: tuple[int, ...]
    """The rows of each kind."""

    @property
    def loading(self) -> float:
        """Seconds before the first row."""
        return self.seconds - sum(w * n for w, n in zip(self.warm, self.rows, strict=True))


def _worker(memory: MemoryOptions, machine: Machine, plan: PlanBatch) -> _Worker | str:
    """The seconds on a machine, or why it cannot make the batch."""
    try:
        batch = plan(memory, machine)
    except (RequestError, TierError) as error:
        return str(error).split(". ")[0].split(" (")[0]
    if not batch.largest.fits and batch.largest.chosen:
        return batch.largest.chosen.reason
    warm = tuple(share.warm_seconds or 0.0 for share in batch.shares)
    if batch.seconds is None:
        return "its speed is unknown"
    return _Worker(batch.seconds, warm, tuple(share.rows for share in batch.shares))


def _alone(machine: Machine, index: int) -> Machine:
    """One GPU, and its share of the host's memory where every GPU has a process of its own."""
    ram, alone = machine.ram, machine.only((str(index),))
    if ram.available is None:
        return alone
    return replace(alone, ram=replace(ram, available=ram.available // len(machine.gpus)))


def _makespan(workers: Sequence[_Worker]) -> float:
    """Seconds until all rows are made, each by the worker that is free first."""
    free = [(worker.loading, number) for number, worker in enumerate(workers)]
    heapify(free)
    for kind, count in enumerate(workers[0].rows):
        for _ in range(count):
            since, number = free[0]
            heapreplace(free, (since + workers[number].warm[kind], number))
    return max(since for since, _ in free)
