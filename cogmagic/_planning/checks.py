"""Refusals of what a machine cannot do at all, before anything is loaded or downloaded."""

from __future__ import annotations

from cogmagic._errors import RequestError, TierError
from cogmagic._footprint.packed import STORAGE_OF
from cogmagic._machine.machine import Machine
from cogmagic._models.catalog import nearest
from cogmagic._models.model import Dtype, Model
from cogmagic._models.request import Request
from cogmagic._models.seen import encoded_clips
from cogmagic._pipeline.attention.registry import asked_kernel
from cogmagic._pipeline.parallel.split import split_of
from cogmagic._pipeline.storage.quantised_forms import QUANTISED
from cogmagic._planning.memory_options import MemoryOptions
from cogmagic._planning.ranks import able, legal_counts
from cogmagic._planning.resolved import compile_problem
from cogmagic._planning.rule_of_thumb import named_tier
from cogmagic._tiers.balanced import usable
from cogmagic._tiers.base import Tier

__all__ = [
    "check_attention",
    "check_options",
    "check_packages",
    "check_parallel",
    "check_savings",
    "check_stored",
    "check_video",
    "compile_refusal",
]


def check_options(options: MemoryOptions, machine: Machine) -> None:
    """Refuse a tier or an option that `machine` cannot do.

    Raises:
        RequestError: when the weight storage does not work on this device, or nothing can be
            compiled for it.
        TierError: for a tier that does not work there or with the other options.
    """
    tier = options.forced
    if tier and (refusal := tier.refusal(machine)):
        raise TierError(refusal)
    check_savings(options, tier, machine)
    if options.compile and tier and (refusal := compile_refusal(tier)):
        raise TierError(refusal)
    if options.compile and (problem := compile_problem(machine)):
        leave = ", or leave" if ": " in problem else ". Leave"  # a clause with a remedy or not
        raise RequestError(f"--compile does not work, since {problem}{leave} out --compile.")


def check_savings(options: MemoryOptions, tier: Tier | None, machine: Machine) -> None:
    """Refuse options that cannot be combined with `tier` or do not work on this device.

    Raises:
        RequestError: when the weight storage does not work on this device.
        TierError: for a tier that does not work with them.
    """
    _, colon, named = options.savings.quantize.partition(":")
    for component, quantised in options.savings.quantised.items():
        if refusal := quantised.refusal_for(component, machine.device, colon + named):
            raise RequestError(refusal)
    storage = options.savings.weights
    if storage and (refusal := storage.refusal(machine.device)):
        raise RequestError(refusal)
    if tier and not tier.accepts(options.savings):
        raise TierError(
            f"Tier {tier.name!r} does not work with {options.savings.flags}."
            " Use --tier stream, or leave that out."
        )


def check_stored(model: Model, options: MemoryOptions, machine: Machine) -> None:
    """Refuse what does not go with the quantised layers of a checkpoint's files.

    Raises:
        RequestError: for an option that would narrow them again, for a device that cannot compute
            with them, and without the package that does.
        TierError: for a tier whose loader cannot take them.
    """
    for packed in model.stored.packed:
        what = f"The {packed.component} of {model.source} is quantised ({packed.form})"
        if packed.scaled and packed.component in options.savings.narrowed:
            flag = options.savings.narrow_flag
            raise RequestError(f"{what}, so {flag} does not apply to it. Leave out {flag}.")
        if machine.device == "mps" and packed.scaled and packed.form != "int8":
            raise RequestError(
                f"{what}, which does not work on MPS. Use --model {nearest(model.source).name}."
            )
        tier = named_tier(options, machine)
        if tier is not None and tier.weights == "gpus":
            raise TierError(
                f"{what}, which tier {tier.name!r} cannot load. Leave out {_typed(tier, options)}:"
                " --tier auto takes what fits one GPU."
            )


def check_packages(model: Model, options: MemoryOptions) -> None:
    """Refuse quantised weights whose package is not installed, or too old.

    Raises:
        RequestError: with what to type.
    """
    for storage in options.savings.quantised.values():
        if problem := storage.missing(storage.flag):
            raise RequestError(problem)
    for packed in model.stored.packed:
        computing = QUANTISED.get(STORAGE_OF[packed.form])
        what = f"The quantised {packed.component} of {model.source}"
        if computing and computing.computes and (problem := computing.missing(what)):
            raise RequestError(problem)


def check_attention(model: Model, options: MemoryOptions, machine: Machine, dtype: Dtype) -> None:
    """Refuse an attention kernel that was asked for by name and cannot compute the model's.

    Args:
        model: whose attention.
        options: what the person chose.
        machine: where.
        dtype: in which it would be computed.

    Raises:
        RequestError: with the reason and what to type instead.
    """
    if options.attention:
        tier = named_tier(options, machine)
        several = tier is not None and tier.several_gpus
        head_dim = model.architecture.attention_head_dim
        asked_kernel(options.attention, machine, dtype, head_dim, several=several)


def check_video(request: Request, options: MemoryOptions, machine: Machine) -> None:
    """Refuse a video to begin from where its latents would be on another GPU than the noise.

    Raises:
        TierError: for a tier that spreads one copy of the weights over the GPUs.
    """
    tier = named_tier(options, machine)
    if encoded_clips(request) and tier is not None and tier.several_gpus:
        typed = _typed(tier, options)
        raise TierError(
            f"A video is encoded on one GPU, but {typed} spreads the components over several. Leave"
            f" out {typed}: --tier auto takes what fits one GPU."
        )


def _typed(tier: Tier, options: MemoryOptions) -> str:
    """The option that names a tier, as it is typed."""
    return f"--tier {tier.name}" if options.forced else "--policy rule"


def check_parallel(
    request: Request, machine: Machine, dtype: Dtype, options: MemoryOptions
) -> None:
    """Refuse what cannot make one video together here; nothing is loaded.

    Raises:
        RequestError: for a number of GPUs that the heads do not divide by, or that this machine
            does not have.
        TierError: for a tier that spreads one copy of the weights over the GPUs.
    """
    count = options.parallel
    if count == 1:
        return
    tier = named_tier(options, machine)
    if tier is not None and tier.several_gpus:
        typed = _typed(tier, options)
        raise TierError(
            f"With --parallel, each GPU has its own copy of the weights, but {typed} spreads one"
            f" over all GPUs. Leave out {typed}, or leave out --parallel."
        )
    if count == "all":
        return
    if machine.not_together:
        raise RequestError(
            f"--parallel {count} does not work here, since {machine.not_together}. Leave it out."
        )
    if machine.device != "cpu":
        _check_count(request, machine, dtype, options, count)
    heads = request.model.architecture.num_attention_heads
    split_of(count, guided=request.guided, heads=heads)


def _check_count(
    request: Request, machine: Machine, dtype: Dtype, options: MemoryOptions, count: int
) -> None:
    """Refuse more GPUs than the machine has."""
    gpus = able(request, machine, dtype, options) if machine.device == "cuda" else ()
    have, can = max(len(gpus), 1), ""
    if have >= count:
        return
    if len(machine.gpus) > len(gpus):
        in_dtype = len(usable(machine, dtype)) == len(gpus)
        can = f" that can {f'compute in {dtype}' if in_dtype else 'do what was asked for'}"
    names = ", ".join(dict.fromkeys(g.name for g in machine.computing))
    most = legal_counts(request, have)[-1]
    use = f"Use --parallel {most}" if most > 1 else "Leave out --parallel"
    here = "--gpus names" if options.gpus else "this machine has"
    raise RequestError(
        f"--parallel {count} needs {count} GPUs, but {here} {have}{can} ({names}). {use}."
    )


def compile_refusal(tier: Tier) -> str:
    """Why the blocks of a pipeline in `tier` cannot be compiled; empty if they can."""
    if tier.compiles:
        return ""
    return (
        f"--compile does not work with tier {tier.name!r}, which loads layer by layer."
        " Use --tier stream, or leave out --compile."
    )
