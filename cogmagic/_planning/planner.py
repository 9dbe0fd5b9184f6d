"""Which tier a request gets on a machine, and why. Pure: nothing is read, nothing is loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cogmagic._errors import TierError, did_you_mean
from cogmagic._footprint.savings import NO_SAVINGS, Savings
from cogmagic._machine.machine import Machine
from cogmagic._models.catalog import Dtype
from cogmagic._models.request import Request
from cogmagic._planning.candidates import candidates_for, ordered
from cogmagic._planning.checks import check_limit, check_savings, check_spread, check_tier
from cogmagic._planning.options import POLICIES
from cogmagic._planning.plan import Candidate, Plan
from cogmagic._planning.precision import dtype_for, picture_risk, unmeasured
from cogmagic._planning.rule import rule_of_thumb
from cogmagic._planning.suggestions import changes_for
from cogmagic._tiers.balanced import usable
from cogmagic._tiers.needs import Tier
from cogmagic._units import gib

__all__ = ["plan"]


def plan(
    request: Request,
    machine: Machine,
    *,
    tier: str | None = None,
    policy: str = "auto",
    vram_limit: int | None = None,
    folder: Path | None = None,
    download: int = 0,
    text: bool = True,
    savings: Savings = NO_SAVINGS,
    loaded: bool = False,
) -> Plan:
    """Choose the tier for `request` on `machine`, or check the one that was asked for.

    Args:
        request: what to generate.
        machine: what is there and what is free now.
        tier: a tier to take whatever its prospects; None or ``auto`` to choose.
        policy: ``auto``, the fastest tier predicted to fit, or ``rule``, the published thresholds.
        vram_limit: bytes that this kernel may take of a GPU, its context and all its tensors.
        folder: the checkpoint; needed for an architecture outside the catalogue.
        download: bytes of it that are still to come from the hub.
        text: whether the prompts are still to be encoded.
        savings: what is done to need less memory.
        loaded: whether the weights are in host memory, so that most tiers read no file.

    Raises:
        TierError: when `tier` or `policy` does not exist or this machine cannot do it.
        RequestError: when the GPU cannot compute in the dtype.
    """
    check_limit(vram_limit)
    where, machine = _where(machine, vram_limit), machine.limited_to(vram_limit)
    rule, rule_reason = rule_of_thumb(machine)
    forced = check_tier(tier, machine)
    check_savings(savings, tier, machine)
    if policy not in POLICIES:
        raise TierError(
            f"Unknown policy {policy!r:.80}.{did_you_mean(str(policy), POLICIES)}"
            f" Choose from: {', '.join(POLICIES)}."
        )
    if policy == "rule" and forced is None:
        check_savings(savings, rule, machine)
    dtype = dtype_for(request, machine)
    if (forced or (rule if policy == "rule" else None)) == "balanced":
        check_spread(len(usable(machine, dtype)), dtype)
    candidates = candidates_for(request, machine, dtype, folder, text, savings, loaded)
    lacking = max(download - machine.disk, 0) if machine.disk is not None else 0
    if lacking:
        candidates = tuple(replace(c, missing_disk=lacking) for c in candidates)
    chosen, reason = _choice(candidates, machine)
    if policy == "rule":
        chosen, reason = rule, f"the rule: {rule_reason}"
    if forced is not None:
        chosen, reason = forced, f"asked for; {'the rule' if policy == 'rule' else 'the planner'}"
        reason += f" says {rule if policy == 'rule' else _choice(candidates, machine)[0]}"
    found = Plan(
        request=request,
        candidates=candidates,
        tier=chosen,
        reason=reason,
        device=machine.device,
        dtype=dtype,
        rule=rule,
        rule_reason=rule_reason,
        where=where,
        gpu=machine.roomiest.index if machine.roomiest else None,
        download=download,
        text=text,
        loaded=loaded,
        savings=savings,
        warnings=tuple(filter(None, (picture_risk(request, dtype), unmeasured(machine)))),
        times=_times(machine, dtype),
    )
    if machine.device != "cuda" and found.fits:
        return found
    changes = changes_for(found, machine, folder)
    return replace(found, changes=changes)


def _choice(candidates: tuple[Candidate, ...], machine: Machine) -> tuple[Tier, str]:
    gpu = machine.roomiest
    if machine.device != "cuda" and all(c.fits for c in candidates):
        return rule_of_thumb(machine)
    if gpu is not None and gpu.available is None:
        return "sequential", f"{gpu.name} does not tell its free VRAM: the tier that needs least"
    fitting = [c for c in candidates if c.fits]
    if not fitting:
        least = min(candidates, key=lambda c: c.lacking)
        return least.tier, f"nothing fits: {least.tier}, which needs least, {least.reason}"
    best = ordered(fitting)[0]
    faster = [c for c in candidates[: candidates.index(best)] if not c.fits]
    if best.seconds is None:
        return best.tier, f"the simplest that fits, in {gib(best.peak_vram)} of VRAM"
    if not faster:
        return best.tier, f"the fastest, and its {gib(best.peak_vram)} of VRAM fit"
    others = ", ".join(f"{c.tier} {c.reason}" for c in faster)
    return best.tier, f"the fastest that fits in {gib(best.peak_vram)} of VRAM; {others}"


def _times(machine: Machine, dtype: Dtype) -> str:
    if machine.device != "cuda":
        return ""
    if dtype == "float32":
        return "unknown: the pace of GPUs in float32 was not looked up"
    if machine.rates is None:
        return "unknown: this GPU is in no table, and has not been probed yet"
    source = machine.rates.source
    said = "a probe of this GPU" if source == "probe" else source
    return f"from {said}" + (", and past runs" if machine.past else "")


def _where(machine: Machine, limit: int | None) -> str:
    if machine.device != "cuda" or not machine.gpus:
        return machine.device.upper()
    names = " + ".join(f"{g.name} ({gib(g.available)} available)" for g in machine.gpus)
    return names + (f", limited to {gib(limit)}" if limit is not None else "")
