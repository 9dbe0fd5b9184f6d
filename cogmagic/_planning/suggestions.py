"""Suggestions: what would let a faster tier run, or any at all, and what that would gain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from cogmagic._footprint.savings import Savings
from cogmagic._machine.machine import Machine
from cogmagic._models.request import Request
from cogmagic._planning.candidate import Candidate
from cogmagic._planning.candidates import candidates_for, slower
from cogmagic._planning.plan import Plan
from cogmagic._planning.ranks import Ranks
from cogmagic._planning.speeds import SPEEDS
from cogmagic._tiers.base import Tier
from cogmagic._units import seconds

__all__ = ["changes_for"]


def changes_for(plan: Plan, machine: Machine, ranks: Ranks | None = None) -> tuple[str, ...]:
    """What would let the fastest tier that does not fit, or any tier at all, run.

    Each is a noun phrase that goes on after "with": ``5.10 GiB more VRAM: no offload, 3 min``.

    Args:
        plan: so far.
        machine: where.
        ranks: those that make the video together; None for one GPU.
    """
    fitting = next((c for c in plan.candidates if c.fits), None)
    if not plan.fits and fitting is not None:  # another tier was asked for, or is the rule's
        return (f"--tier auto --policy auto: {_outcome(fitting, plan)}",)
    lacking = [c for c in plan.candidates if not c.fits]
    if not lacking:
        return ()
    stuck = len(lacking) == len(plan.candidates)
    eligible = lacking if stuck else _worthwhile(lacking, plan)
    if not eligible:
        return ()
    target = min(eligible, key=lambda c: c.missing)
    search = _Search(plan, machine, ranks, None if stuck else target.placement)
    changes = (f"{target.addition}: {_outcome(target, plan)}", *search.options(), search.frames())
    return tuple(c for c in changes if c is not None)


def _worthwhile(lacking: list[Candidate], plan: Plan) -> list[Candidate]:
    """Those that would be about the fastest of all, or as fast as the chosen one and simpler."""
    paces = {c.tier: c.seconds_again or 0.0 for c in plan.candidates}
    now = paces.get(plan.tier, 0.0)
    best = min(paces[c.tier] for c in lacking)
    if now and not slower(now, best):  # nothing to gain, but perhaps simplicity
        order = [c.tier for c in plan.candidates]
        return [c for c in lacking if order.index(c.tier) < order.index(plan.tier)]
    return [c for c in lacking if not slower(paces[c.tier], best)]


def _faster(target: Candidate, plan: Plan) -> bool:
    later, now = target.seconds, plan.seconds
    return bool(later and now and slower(now, later))


def _outcome(target: Candidate, plan: Plan) -> str:
    """The tier that would run and its time, beside today's time where the plan fits."""
    title = target.placement.title
    if target.seconds is None or (plan.fits and not _faster(target, plan)):
        return title
    now = f" (now {seconds(plan.seconds)})" if plan.fits else ""
    return f"{title}, {seconds(target.seconds)}{now}"


class _Search:
    """The search for changed requests with which a tier, or any if None, would fit.

    It plans again for every shorter clip and every set of savings, which takes milliseconds.
    """

    def __init__(
        self, plan: Plan, machine: Machine, ranks: Ranks | None, tier: Tier | None
    ) -> None:
        self.plan, self.machine, self.ranks, self.tier = plan, machine, ranks, tier
        self.hopeless = any(c.missing_disk for c in plan.candidates)  # memory does not help

    def frames(self) -> str | None:
        """The most frames with which it would fit, if it would with any."""
        if self.hopeless:
            return None
        request = self.plan.request
        counts: Iterable[int] = reversed(request.model.frames.at_once())
        for count in (n for n in counts if n < request.num_frames):
            if fitting := self._fitting(request=replace(request, num_frames=count)):
                return f"--num-frames {count}: {_outcome(fitting, self.plan)}"
        return None

    def options(self) -> tuple[str, ...]:
        """The least costly options with which it would fit, if it would with any."""
        tiers = (self.plan.placement, self.tier)
        if self.hopeless or any(t is not None and t.several_gpus for t in tiers):
            return ()
        now = self.plan.options.savings
        less = next(filter(None, map(self._with, self._more())), None)
        fast = self._with(now, speed="fast")
        if not (less or fast):
            fast = next(filter(None, (self._with(s, speed="fast") for s in self._more())), None)
        texts = less, fast or (self._nearest() if not less and self.tier is None else None)
        return tuple(filter(None, texts))

    def _with(self, savings: Savings, *, speed: str = "") -> str | None:
        """Savings with which it would fit, and what that gives; None where they do not help.

        With a speed only where nothing fits: else `Plan.speeds` has what it gains.
        """
        if speed and (self.tier or self.plan.options.speed != "exact"):
            return None
        fitting = self._fitting(savings=savings, speed=speed)
        if not fitting or (self.tier and not _faster(fitting, self.plan)):
            return None
        flags, price = savings.flags, savings.price
        if speed:
            flags = f"--speed {speed} {flags}".rstrip()
            price = replace(savings, guidance_halves=True).price  # within rounding, too
        return f"{flags}: {_outcome(fitting, self.plan)} ({price})"

    def _nearest(self) -> str | None:
        """The options of the same picture with which least is missing, and what that is."""
        least, nearest = min(c.missing for c in self.plan.candidates), None
        storage = self.plan.options.savings.storage
        for savings in (s for s in self._more() if s.storage == storage):
            for c in self._candidates(savings=savings):
                if c.missing < least:
                    least, title = c.missing, c.placement.title
                    nearest = f"{savings.flags} and {c.addition}: {title} ({savings.price})"
        return nearest

    def _more(self) -> Iterator[Savings]:
        """Further options that can save something here; without guidance, no halves of it."""
        savings, lean = self.plan.options.savings, not self.plan.available.not_lean
        halves = self.plan.request.guided or savings.guidance_halves
        more = (s for s in savings.more() if halves or not s.guidance_halves)
        usable = (s for s in more if lean or not s.lean_decode)
        parts = {p.component for p in self.plan.request.model.stored.packed if p.scaled}
        # Which exclude a further storage.
        if SPEEDS[self.plan.options.speed].products or "transformer" in parts:
            usable = (s for s in usable if s.storage == savings.storage)
        device = self.machine.device
        return (s for s in usable if not (s.weights and s.weights.refusal(device)))

    def _fitting(
        self, *, request: Request | None = None, savings: Savings | None = None, speed: str = ""
    ) -> Candidate | None:
        candidates = self._candidates(request=request, savings=savings, speed=speed)
        return next((c for c in candidates if c.fits and self.tier in (None, c.placement)), None)

    def _candidates(
        self, *, request: Request | None = None, savings: Savings | None = None, speed: str = ""
    ) -> tuple[Candidate, ...]:
        plan, options = self.plan, self.plan.options
        return candidates_for(
            request or plan.request,
            self.machine,
            plan.dtype,
            replace(options, savings=savings or options.savings, speed=speed or options.speed),
            plan.available,
            self.ranks,
        )
