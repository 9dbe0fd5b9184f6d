"""What would let a faster tier run, or any at all, and what that would gain."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from cogmagic._candidates import TIE, candidates_for
from cogmagic._machine import Machine
from cogmagic._placement import Tier
from cogmagic._plan import Candidate, Plan

__all__ = ["changes_for"]


def changes_for(
    found: Plan, machine: Machine, limit: int | None, folder: Path | None
) -> tuple[str, ...]:
    """What would let the fastest tier that does not fit, or any tier at all, run."""
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
    smaller = _fewer_frames(found, machine, limit, folder, target.tier)
    if smaller is not None:
        said.append(f"--num-frames {smaller}: {target.tier}")
    return tuple(said)


def _worth(lacking: list[Candidate], found: Plan) -> list[Candidate]:
    """Those that would be about the fastest of all, or as fast as the chosen one and simpler."""
    paces = {c.tier: c.needs.seconds or 0.0 for c in found.candidates}
    now = paces.get(found.tier, 0.0)
    best = min(paces[c.tier] for c in lacking)
    if best > now / TIE and now:  # nothing to gain, but perhaps simplicity
        order = [c.tier for c in found.candidates]
        return [c for c in lacking if order.index(c.tier) < order.index(found.tier)]
    return [c for c in lacking if paces[c.tier] <= best * TIE]


def _gain(target: Candidate, found: Plan) -> str:
    mine, now = target.needs.seconds, found.seconds
    return f", {mine:.0f} s instead of {now:.0f} s" if mine and now and now > mine else ""


def _fewer_frames(
    found: Plan, machine: Machine, limit: int | None, folder: Path | None, tier: Tier
) -> int | None:
    """The most frames with which `tier` would fit, or None."""
    if any(c.missing_disk for c in found.candidates):
        return None
    frames: Iterable[int] = reversed(found.request.model.frames.legal())
    for count in (n for n in frames if n < found.request.num_frames):
        request = replace(found.request, num_frames=count)
        for candidate in candidates_for(request, machine, found.dtype, limit, folder, found.text):
            if candidate.tier == tier and candidate.fits:
                return count
    return None
