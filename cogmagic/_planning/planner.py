"""The planner: a request and a machine become a plan. Pure: nothing is read, nothing is loaded."""

from __future__ import annotations

from dataclasses import replace

from cogmagic._errors import TierError
from cogmagic._footprint.adapters import check_adapters
from cogmagic._footprint.savings import why_not_lean
from cogmagic._machine.machine import Machine
from cogmagic._models.model import Dtype
from cogmagic._models.request import Request
from cogmagic._pipeline.attention.registry import kernel_remark
from cogmagic._pipeline.parallel.split import WHOLE
from cogmagic._planning.candidate import Candidate
from cogmagic._planning.candidates import ordered
from cogmagic._planning.card_warnings import card_warnings
from cogmagic._planning.dtype import overflow_risk
from cogmagic._planning.memory_options import DEFAULTS, NOTHING_HERE, Available, MemoryOptions
from cogmagic._planning.parallel import Divisions, divided
from cogmagic._planning.plan import Plan
from cogmagic._planning.request_checks import check_request
from cogmagic._planning.resolved import resolved
from cogmagic._planning.rule_of_thumb import named_tier, rule_of_thumb
from cogmagic._planning.suggestions import changes_for
from cogmagic._tiers.registry import TIERS
from cogmagic._units import gib

__all__ = ["plan"]


def plan(
    request: Request,
    machine: Machine,
    options: MemoryOptions = DEFAULTS,
    available: Available = NOTHING_HERE,
    *,
    suggest: bool = True,
) -> Plan:
    """Choose the tier for `request` on `machine`, or check the one that was asked for.

    With a preset it plans the request without it as well, for the seconds that it saves.

    Args:
        request: what to generate.
        machine: its GPUs and memory, as they are now.
        options: what the person chose about memory.
        available: what the machine has already.
        suggest: whether the plan says what would need less memory or time, which takes longer than
            the rest of it.

    Raises:
        TierError: when this machine cannot do the tier that was asked for.
        RequestError: when the GPU cannot compute in the dtype, or by the attention kernel.
    """
    made, plain = _plan(request, machine, options, available, suggest), request.without_preset()
    if plain is request or made.seconds is None:
        return made
    without = _plan(plain, machine, options, available, suggest=False)
    return replace(made, seconds_without_preset=without.seconds if without.fits else None)


def _plan(
    request: Request,
    machine: Machine,
    options: MemoryOptions,
    available: Available,
    suggest: bool,
) -> Plan:
    here, machine = machine, machine.limited_to(options.vram_limit)
    dtype = check_request(request, options, machine)
    rule, rule_reason = rule_of_thumb(machine)
    named = named_tier(options, machine)
    unsure = check_adapters(request, available.folder)
    risks = unsure, overflow_risk(request, dtype), *card_warnings(machine, dtype)
    options, available, left_out = _applicable(options, available, machine)
    if named and (refusal := named.refusal(machine, dtype)):
        raise TierError(refusal)
    divisions = Divisions(request, machine, dtype, options, available)
    division, parallel = divided(divisions, options)
    ranks, candidates = division.ranks, division.candidates
    risks = *risks, ranks.warning if ranks else ""
    missing_disk = max(available.download - machine.disk, 0) if machine.disk is not None else 0
    if missing_disk:
        candidates = tuple(replace(c, missing_disk=missing_disk) for c in candidates)
    chosen, reason = _chosen(candidates, machine, options, (rule, rule_reason))
    first = Plan(
        request=request,
        candidates=candidates,
        tier=chosen,
        reason=reason,
        device=machine.device,
        dtype=dtype,
        rule=rule,
        rule_reason=rule_reason,
        where=_where(ranks.among(here) if ranks else here, options.vram_limit),
        options=options,
        unpredicted=resolved(
            request.model, options, machine, dtype, TIERS[chosen], not_lean=available.not_lean
        ),
        available=available,
        swap=machine.ram.swap,
        gpu=machine.roomiest.index if machine.roomiest else None,
        split=ranks.split if ranks else WHOLE,
        ranks=ranks.indices if ranks else (),
        parallel=parallel,
        left_out=left_out,
        warnings=tuple(filter(None, (available.prompt_warning, left_out, *risks))),
        times=_source_of_times(machine, dtype),
    )
    if remark := kernel_remark(first.speedups.attention, machine):
        first = replace(first, warnings=(*first.warnings, remark))
    if not suggest or (machine.device != "cuda" and first.fits):
        return first
    changes = changes_for(first, machine, ranks)
    if ranks and not first.fits and not missing_disk and (fewer := divisions.fewer(division)):
        return replace(first, fewer=fewer.option, changes=(fewer.change, *changes))
    return replace(first, changes=changes)


def _applicable(
    options: MemoryOptions, available: Available, machine: Machine
) -> tuple[MemoryOptions, Available, str]:
    """The options that a run applies, what is available, and what is left out and why."""
    lean, folder = options.savings.lean_decode, available.folder
    # On a CPU, savings change no plan, and building a VAE would import torch.
    if folder is not None and not available.not_lean and (lean or machine.device == "cuda"):
        available = replace(available, not_lean=why_not_lean(folder))
    if not (lean and available.not_lean):
        return options, available, ""
    options = replace(options, savings=replace(options.savings, lean_decode=False))
    return options, available, f"--lean-decode is left out: {available.not_lean}"


def _chosen(
    candidates: tuple[Candidate, ...],
    machine: Machine,
    options: MemoryOptions,
    rule: tuple[str, str],
) -> tuple[str, str]:
    """The tier's name, and why."""
    by_rule = options.policy == "rule"
    if options.forced is None and by_rule:
        return rule[0], f"published rule: {rule[1]}"
    if options.forced is None:
        return _fastest(candidates, machine)
    other = TIERS[rule[0] if by_rule else _fastest(candidates, machine)[0]].title
    chooser = "the rule" if by_rule else "the planner"
    return options.forced.name, f"requested; {chooser} would choose {other}"


def _fastest(candidates: tuple[Candidate, ...], machine: Machine) -> tuple[str, str]:
    """The fastest tier that is predicted to fit, or the one that comes closest, and why."""
    gpu = machine.roomiest
    if machine.device != "cuda" and all(c.fits for c in candidates):
        return rule_of_thumb(machine)
    if gpu is not None and gpu.available is None:
        return "sequential", f"{gpu.name} does not report its free VRAM: the tier that needs least"
    fitting = [c for c in candidates if c.fits]
    if not fitting:
        least = min(candidates, key=lambda c: c.missing)
        title = least.placement.title
        return least.tier, f"no tier fits: {title}, which comes closest, {least.reason}"
    best = ordered(fitting)[0]
    faster = [c for c in candidates[: candidates.index(best)] if not c.fits]
    if best.seconds is None:
        return best.tier, f"the simplest tier that fits, in {gib(best.peak_vram)} of VRAM"
    if not faster:
        return best.tier, f"the fastest tier, and its {gib(best.peak_vram)} of VRAM fit"
    others = ", ".join(f"{c.placement.title} {c.reason}" for c in faster)
    return best.tier, f"the fastest tier that fits, in {gib(best.peak_vram)} of VRAM; {others}"


def _source_of_times(machine: Machine, dtype: Dtype) -> str:
    if machine.device != "cuda":
        return ""
    rates = machine.rates_in(dtype)
    if rates is None and dtype == "float32":
        return "unknown: the table of GPUs has float32 speeds of NVIDIA's before Ampere only"
    if rates is None:
        return "unknown: this GPU is in no table, and has not been probed yet"
    source = rates.source
    origin = "a probe of this GPU" if source == "probe" else source
    return f"from {origin}" + (", and past runs" if machine.past else "")


def _where(machine: Machine, limit: int | None) -> str:
    gpus = tuple(g for g in machine.computing if machine.device == "cuda" or g.free is not None)
    if machine.device == "cpu" or not gpus:
        return machine.device.upper()
    names = [
        f"{g.name} ({gib(g.available)} available{', shared with the CPU' if g.unified else ''})"
        for g in gpus
    ]
    if len(names) > 3 and len({*names}) == 1:
        names = [f"{len(names)} x {names[0]}"]
    return " + ".join(names) + (f", limited to {gib(limit)}" if limit is not None else "")
