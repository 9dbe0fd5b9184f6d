"""The plan that a run begins with."""

from __future__ import annotations

from collections.abc import Callable

from cogmagic._errors import TierError
from cogmagic._machine.machine import Machine
from cogmagic._planning.memory_options import Available, MemoryOptions
from cogmagic._planning.plan import Plan
from cogmagic._planning.planner import plan
from cogmagic._session.prepare import Job

__all__ = ["first_plan", "planned"]


def first_plan(
    job: Job, machine: Machine, is_placed: Callable[[Plan], bool], *, loaded: bool = False
) -> Plan:
    """The plan for what is free now.

    Args:
        job: what to make.
        machine: where.
        is_placed: whether the pipeline is placed already as a plan needs it; it is not placed again
            only to leave out a text encoder that is not needed.
        loaded: whether the weights are in host memory.

    Raises:
        TierError: when the plan's run must not be tried (see `Plan.refusal`).
    """
    chosen = planned(job, machine, job.options, encode=True, loaded=loaded)
    if job.embeddings is not None and not (chosen.fits and is_placed(chosen)):
        chosen = planned(job, machine, job.options, loaded=loaded)
    if chosen.refusal:
        raise TierError(chosen.refusal)
    return chosen


def planned(
    job: Job, machine: Machine, options: MemoryOptions, *, loaded: bool, encode: bool = False
) -> Plan:
    """The plan of a job with `options`.

    Args:
        job: what to make.
        machine: where.
        options: the job's, or narrower ones.
        loaded: whether the weights are in host memory.
        encode: whether the text encoder is placed even if the prompt embeddings are cached.
    """
    available = Available(
        folder=job.folder,
        prompts_cached=job.embeddings is not None and not encode,
        weights_loaded=loaded,
        not_lean=job.not_lean,
    )
    return plan(job.request, machine, options, available)
