"""What would let a faster tier run, or any at all, and what that would gain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from cogmagic._footprint.savings import Savings
from cogmagic._machine.machine import Machine
from cogmagic._planning.candidates import candidates_for, slower
from cogmagic._planning.plan import Candidate, Plan
from cogmagic._tiers.needs import Tier
from cogmagic._units import seconds

__all__ = ["changes_for"]


def changes_for(found: Plan, machine: Machine, folder: Path | None) -> tuple[str, ...]:
    """What would let the fastest tier that does not fit, or any tier at all, run."""
    fitting = next((c for c in found.candidates if c.fits), None)
    if not found.fits and fitting is not None:  # it was asked for, or is what the rule says
        return (f"--tier auto --policy auto: {fitting.tier}{_gain(fitting, found)}",)
    lacking = [c for c in found.candidates if not c.fits]
    if not lacking:
        return ()
    stuck = len(lacking) == len(found.candidates)
    target = min(lacking, key=lambda c: c.lacking)
    if not stuck:
        worth = _worth(lacking, found)
        if not worth:
            return ()
        target = min(worth, key=lambda c: c.lacking)
    said = [f"{target.lack} more: {target.tier}{_gain(target, found)}"]
    thrift = _thrift(found, machine, folder, None if stuck else target.tier)
    if thrift is not None:
        said.append(thrift)
    smaller = _fewer_frames(found, machine, folder, None if stuck else target.tier)
    if smaller is not None:
        said.append(smaller)
    return tuple(said)


def _worth(lacking: list[Candidate], found: Plan) -> list[Candidate]:
    """Those that would be about the fastest of all, or as fast as the chosen one and simpler."""
    paces = {c.tier: c.seconds or 0.0 for c in found.candidates}
    now = paces.get(found.tier, 0.0)
    best = min(paces[c.tier] for c in lacking)
    if now and not slower(now, best):  # nothing to gain, but perhaps simplicity
        order = [c.tier for c in found.candidates]
        return [c for c in lacking if order.index(c.tier) < order.index(found.tier)]
    return [c for c in lacking if not slower(paces[c.tier], best)]


def _faster(target: Candidate, found: Plan) -> bool:
    mine, now = target.seconds, found.seconds
    return bool(mine and now and slower(now, mine))


def _gain(target: Candidate, found: Plan) -> str:
    """How long it would take, beside how long it takes, where it takes any time now."""
    if target.seconds is None or (found.fits and not _faster(target, found)):
        return ""
    now = f" instead of {seconds(found.seconds)}" if found.fits else ""
    return f", {seconds(target.seconds)}{now}"


def _fewer_frames(
    found: Plan, machine: Machine, folder: Path | None, tier: Tier | None
) -> str | None:
    """The most frames with which `tier`, or any if None, would fit, if there are any."""
    if any(c.missing_disk for c in found.candidates):
        return None
    frames: Iterable[int] = reversed(found.request.model.frames.legal())
    for count in (n for n in frames if n < found.request.num_frames):
        request = replace(found.request, num_frames=count)
        fitting = _fits(replace(found, request=request), machine, folder, tier)
        if fitting:
            return f"--num-frames {count}: {fitting.tier}{_gain(fitting, found)}"
    return None


def _thrift(found: Plan, machine: Machine, folder: Path | None, tier: Tier | None) -> str | None:
    """The least costly options with which `tier`, or any if None, would fit."""
    if found.tier == "balanced" or tier == "balanced":
        return None
    if any(c.missing_disk for c in found.candidates):
        return None
    for savings in _more(found):
        fitting = _fits(replace(found, savings=savings), machine, folder, tier)
        if fitting and (tier is None or _faster(fitting, found)):
            return f"{savings.flags}: {fitting.tier}{_gain(fitting, found)} ({savings.price})"
    return _nearest(found, machine, folder) if tier is None else None


def _nearest(found: Plan, machine: Machine, folder: Path | None) -> str | None:
    """What would have to come to the options of the same picture that leave least lacking."""
    least, best = min(c.lacking for c in found.candidates), None
    for savings in (s for s in _more(found) if s.fp8 == found.savings.fp8):
        for c in _candidates(replace(found, savings=savings), machine, folder):
            if c.lacking < least:
                least = c.lacking
                best = f"{savings.flags} and {c.lack} more: {c.tier} ({savings.price})"
    return best


def _more(found: Plan) -> Iterator[Savings]:
    """Further options that can save something; without guidance there is nothing to halve."""
    halves = found.request.guidance_scale > 1.0 or found.savings.guidance_halves
    return (s for s in found.savings.more() if halves or not s.guidance_halves)


def _fits(
    found: Plan, machine: Machine, folder: Path | None, tier: Tier | None
) -> Candidate | None:
    """The fastest candidate of `tier`, or of any if None, that fits the request of `found`."""
    tried = _candidates(found, machine, folder)
    return next((c for c in tried if c.fits and tier in (None, c.tier)), None)


def _candidates(found: Plan, machine: Machine, folder: Path | None) -> tuple[Candidate, ...]:
    return candidates_for(
        found.request, machine, found.dtype, folder, found.text, found.savings, found.loaded
    )
