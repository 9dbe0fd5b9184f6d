"""The plan that a run begins with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from cogmagic._errors import TierError
from cogmagic._machine.machine import Machine
from cogmagic._pipeline.compile import compiled_code
from cogmagic._planning.memory_options import Available, MemoryOptions
from cogmagic._planning.plan import Plan
from cogmagic._planning.planner import plan
from cogmagic._session.prepare import Job
from cogmagic._tiers.base import Variant

__all__ = ["first_plan", "planned"]


def first_plan(
    job: Job,
    machine: Machine,
    is_placed: Callable[[Plan], bool],
    *,
    loaded: bool = False,
    placed: tuple[str, Variant] | None = None,
) -> Plan:
    """The plan for what is free now.

    Args:
        job: what to make.
        machine: where.
        is_placed: whether the pipeline is placed already as a plan needs it; it is not placed again
            only to leave out a text encoder that is not needed.
        loaded: whether the weights are in host memory.
        placed: the tier and the variant in which a batch's earlier rows have left the weights.

    Raises:
        TierError: when the plan's run must not be tried (see `Plan.refusal`).
    """
    if job.stay:
        chosen = _staying(planned(job, machine, job.options, loaded=loaded, placed=placed), placed)
    else:
        chosen = planned(job, machine, job.options, encode=True, loaded=loaded)
    if not job.stay and job.embeddings is not None and not (chosen.fits and is_placed(chosen)):
        chosen = planned(job, machine, job.options, loaded=loaded)
    if chosen.refusal:
        raise TierError(chosen.refusal)
    return chosen


def _staying(chosen: Plan, placed: tuple[str, Variant] | None) -> Plan:
    """The plan in the tier of the batch's earlier rows, if that fits: nothing is placed again.

    That tier may have been chosen because a faster one had run out of memory.
    """
    tier = placed[0] if placed else chosen.tier
    candidates = {c.tier: c.fits for c in chosen.candidates}
    fits = candidates.get(tier, not candidates)  # there are none where nothing is predicted
    if tier == chosen.tier or not (fits and chosen.options.cautious):
        return chosen
    return replace(chosen, tier=tier, reason="the tier of the rows before, and it fits")


def planned(
    job: Job,
    machine: Machine,
    options: MemoryOptions,
    *,
    loaded: bool,
    encode: bool = False,
    placed: tuple[str, Variant] | None = None,
) -> Plan:
    """The plan of a job with `options`.

    Args:
        job: what to make.
        machine: where.
        options: the job's, or narrower ones.
        loaded: whether the weights are in host memory.
        encode: whether the text encoder is placed even if the prompt embeddings are cached.
        placed: the tier and the variant in which the weights are placed.
    """
    available = Available(
        folder=job.folder,
        prompts_cached=job.embeddings is not None and not encode,
        weights_loaded=loaded,
        cached=job.cached,
        first_run=job.first_run,
        embeddings=job.held,
        code=job.code if options.parallel != 1 else compiled_code(),
        placed=placed,
        not_lean=job.not_lean,
    )
    return plan(job.request, machine, options, available)
