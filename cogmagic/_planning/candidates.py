"""Every tier for a request on a machine: predicted, corrected by past runs, and checked for fit."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from cogmagic._footprint.configs import configs_of, same
from cogmagic._machine.machine import Machine
from cogmagic._models.model import Dtype, Model
from cogmagic._models.request import Request
from cogmagic._pipeline.attention.registry import KERNELS, kernel_refusal
from cogmagic._planning.candidate import Candidate
from cogmagic._planning.experience import compiling_seconds, corrections
from cogmagic._planning.memory_options import Available, MemoryOptions
from cogmagic._planning.ranks import Ranks
from cogmagic._planning.resolved import resolved
from cogmagic._planning.trial import Trial
from cogmagic._planning.workloads import Workloads
from cogmagic._tiers.base import ONE_GPU, Tier, Variant
from cogmagic._tiers.registry import TIERS

__all__ = ["candidates_for", "ordered", "slower"]

_TIE, _MOMENT = 1.02, 0.5
"""Times that differ by a smaller ratio, or by fewer seconds, count as equal."""


def candidates_for(
    request: Request,
    machine: Machine,
    dtype: Dtype,
    options: MemoryOptions,
    available: Available,
    ranks: Ranks | None = None,
) -> tuple[Candidate, ...]:
    """Every tier that `machine` can do: the fastest first, and of equals the simplest.

    Args:
        request: what to generate.
        machine: its GPUs and memory, as they are now.
        dtype: the dtype in which the weights are loaded.
        options: the options that change memory or speed; tiers that cannot take them are left out.
        available: what this machine has already.
        ranks: those that make the video together, in a tier that places all on one GPU each; None
            for one GPU, or the several of tier ``balanced``.
    """
    machine = ranks.pace(machine) if ranks else machine
    on_gpu = machine.device != "cpu"
    if not on_gpu and not available.download and _is_foreign(available):
        return ()  # nothing to choose there, and tracing takes seconds
    stays = options.keep != "cold"
    workloads = Workloads(request, machine, dtype, available, stays, ranks)
    workload = cache(workloads.of)
    correct = corrections(request, machine, dtype)
    compiling = compiling_seconds(request, machine, dtype, available, workloads.split)
    candidates = []
    for tier in TIERS.values():
        if (tier.offloads and not on_gpu) or (tier.several_gpus and ranks):
            continue
        if not _is_possible(tier, request.model, machine, dtype, options):
            continue
        uses = resolved(request.model, options, machine, dtype, tier, not_lean=available.not_lean)
        work = workload(uses.savings, uses.speedups)
        trial = Trial(tier, work, machine, correct(tier, uses), uses, compiling(uses), ranks)
        variant = _placed(tier, available, trial) or tier.choose(work, machine, trial.assess)
        if variant is not None:
            candidates.append(trial.candidate(variant))
    return ordered(candidates)


def _placed(tier: Tier, available: Available, trial: Trial) -> Variant | None:
    """The variant in which the weights are placed already, if they are and it fits."""
    name, variant = available.placed or ("", ONE_GPU)
    return variant if name == tier.name and not trial.assess(variant).missing else None


def _is_possible(
    tier: Tier, model: Model, machine: Machine, dtype: Dtype, options: MemoryOptions
) -> bool:
    """Whether the machine can do the tier, with all the options."""
    if tier.refusal(machine, dtype) or not tier.accepts(options.savings):
        return False
    if tier.weights == "gpus" and model.stored.packed:
        return False
    if tier.several_gpus and options.attention:
        kernel, head_dim = KERNELS[options.attention], model.architecture.attention_head_dim
        if kernel_refusal(kernel, machine, dtype, head_dim, several=True):
            return False
    return tier.compiles or not options.compile


def _is_foreign(available: Available) -> bool:
    """Whether the architecture is outside the catalogue and must be traced."""
    return available.folder is not None and same(configs_of(available.folder)) is None


def slower(seconds: float, other: float) -> bool:
    """Whether a run takes so much longer than another that it matters."""
    return seconds > max(other * _TIE, other + _MOMENT)


def ordered(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """The fastest first; of those that are about as fast, the simplest.

    Without compiling, which a run does once: else a short one would avoid it by a slower tier.
    """
    left, names, sorted_ = list(candidates), list(TIERS), []
    while left:
        fastest = min(c.seconds_again or 0.0 for c in left)
        tied = [c for c in left if not slower(c.seconds_again or 0.0, fastest)]
        sorted_.append(min(tied, key=lambda c: names.index(c.tier)))
        left.remove(sorted_[-1])
    return tuple(sorted_)
