"""The choice of the GPUs that make one video together, and what they gain. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cogmagic._machine.machine import Machine
from cogmagic._models.model import Dtype
from cogmagic._models.request import Request
from cogmagic._planning.candidate import Candidate
from cogmagic._planning.candidates import candidates_for, slower
from cogmagic._planning.memory_options import Available, MemoryOptions
from cogmagic._planning.plan import Plan
from cogmagic._planning.ranks import Ranks, able, legal_counts, ranks_of
from cogmagic._planning.rule_of_thumb import named_tier
from cogmagic._units import seconds

__all__ = ["Division", "Divisions", "divided", "of_rank", "with_parallel"]


@dataclass(frozen=True)
class Division:
    """The ranks that make a video, in each tier."""

    candidates: tuple[Candidate, ...]
    best: Candidate | None
    """The fastest that fits in a tier that was allowed, or the one that lacks least."""
    ranks: Ranks | None = None
    """None for one GPU."""

    @property
    def fits(self) -> bool:
        """Whether it is predicted to run."""
        return self.best is not None and self.best.fits

    @property
    def count(self) -> int:
        """The number of GPUs, or of processes on a CPU."""
        return self.ranks.split.count if self.ranks else 1

    @property
    def time(self) -> float | None:
        """The seconds of the whole run; None where they are unknown."""
        return self.best.seconds if self.best else None

    @property
    def option(self) -> str:
        """What one types for it."""
        return f"--parallel {self.count}"

    @property
    def lack(self) -> str:
        """What it lacks, as ``with 2 GPUs, streaming lacks 1.51 GiB of VRAM``."""
        tier = f"{self.best.placement.title} {self.best.reason}" if self.best else "no tier works"
        return f"with {self.count} GPUs, {tier}"

    @property
    def change(self) -> str:
        """What one types for it, and what that gives."""
        title = self.best.placement.title if self.best else ""
        return f"{self.option}: {title}" + (f", {seconds(self.time)}" if self.time else "")

    @property
    def title(self) -> str:
        """The ranks in words, such as ``2 GPUs (guidance 2 x tokens 1) over NVLink``."""
        if self.ranks is None:
            return "one GPU"
        if not self.ranks.gpus:
            return f"{self.count} CPU processes ({self.ranks.split})"
        link = f" over {self.ranks.link.kind}" if self.ranks.link else ""
        return f"{self.count} GPUs ({self.ranks.split}){link}"

    def gains_on(self, other: Division) -> bool:
        """Whether it is faster than another, or fits where the other does not."""
        if not (self.fits and other.fits):
            return self.fits
        return bool(self.time and other.time and slower(other.time, self.time))

    def against(self, other: Division) -> str:
        """Its seconds beside those of another, or what the other lacks, after a colon."""
        if other.best is not None and not other.best.fits:
            now = f"{seconds(self.time)}, and " if self.time else ""
            return f": {now}{other.title} {other.best.reason}"
        if self.time is None or other.time is None:
            return ""
        if self.fits and not self.gains_on(other):
            gain = f"which gains nothing: {other.title} takes {seconds(other.time)}"
            return f": {seconds(self.time)}, {gain}"
        return f": {seconds(self.time)} instead of {seconds(other.time)}"


class Divisions:
    """The divisions of one request on one machine."""

    def __init__(
        self,
        request: Request,
        machine: Machine,
        dtype: Dtype,
        options: MemoryOptions,
        available: Available,
        one: Division | None = None,
    ) -> None:
        self._arguments = request, machine, dtype, options
        self._available = available
        self._tier = options.forced
        self._made = {1: one} if one else {}

    def of(self, count: int) -> Division:
        """The best division among `count` GPUs."""
        if count not in self._made:
            self._made[count] = self._best_of(count)
        return self._made[count]

    def _best_of(self, count: int) -> Division:
        if count == 1:
            return self._in(None)
        made = [self._in(ranks) for ranks in ranks_of(*self._arguments, count)]
        return min(made, key=_rating)

    def _in(self, ranks: Ranks | None) -> Division:
        candidates = candidates_for(*self._arguments, self._available, ranks)
        allowed = [c for c in candidates if self._tier in (None, c.placement)]
        fitting = next((c for c in allowed if c.fits), None)
        best = fitting or min(allowed, key=lambda c: c.missing, default=None)
        return Division(candidates, best, ranks)

    @property
    def counts(self) -> tuple[int, ...]:
        """The numbers of this machine's GPUs that can make the video together, ascending."""
        request, machine, *_ = self._arguments
        if machine.device != "cuda" or machine.not_together:
            return (1,)
        return legal_counts(request, len(able(*self._arguments)))

    def fastest(self) -> Division:
        """The fastest division; of those that are about as fast, the one with fewest GPUs.

        Where the times are unknown it is the one with most GPUs that fits.
        """
        best = self.of(1)
        for count in self.counts[1:]:
            division = self.of(count)
            unknown = division.fits and best.fits and division.time is None
            if unknown or division.gains_on(best):
                best = division
        return best

    def fewer(self, division: Division) -> Division | None:
        """The largest smaller division that fits, where one does not."""
        smaller = legal_counts(self._arguments[0], division.count - 1)
        return next((d for d in map(self.of, reversed(smaller)) if d.fits), None)

    def why_one(self) -> str:
        """Why one GPU is the fastest division."""
        machine, counts = self._arguments[1], self.counts
        if machine.device == "cpu":
            return "one process: this machine has no GPU; --parallel 2 starts two on the CPU"
        if len(machine.gpus) < 2:
            only = "--gpus names" if self._arguments[3].gpus else "this machine has"
            return f"one GPU: {only} no other"
        if machine.not_together:
            return f"one GPU: {machine.not_together}"
        if len(counts) < 2:
            return "one GPU: no other can do what was asked for"
        other = self.of(counts[1])
        if not other.fits:
            return f"one GPU: {other.lack}"
        times = f"{seconds(other.time)}, and one takes {seconds(self.of(1).time)}"
        return f"one GPU: {other.title} would take {times}"

    def left_out(self, division: Division) -> str:
        """Why the other GPUs are left out of the fastest division; empty without any."""
        machine = self._arguments[1]
        used = {gpu.index for gpu in division.ranks.gpus} if division.ranks else set()
        others = [gpu for gpu in machine.gpus if gpu.index not in used]
        if not others or division.ranks is None:
            return ""
        names = ", ".join(f"GPU {gpu.index} ({gpu.name})" for gpu in others)
        verb = "is" if len(others) == 1 else "are"
        return f"; {names} {verb} left out: {self._why_not_more(division.count)}"

    def _why_not_more(self, count: int) -> str:
        """Why more than `count` GPUs are no faster."""
        more = next((self.of(n) for n in self.counts if n > count), None)
        if more is not None:
            return f"{more.count} GPUs would take {seconds(more.time)}" if more.fits else more.lack
        most = len(able(*self._arguments))
        if most == count:
            return "not able to do what was asked for"
        heads = self._arguments[0].model.architecture.num_attention_heads
        numbers = f"{count + 1}" + (f" to {most}" if most > count + 1 else "")
        return f"{heads} heads do not divide by {numbers}"


def _rating(division: Division) -> tuple[int, float]:
    """What lacks, then the seconds: the less, the better."""
    missing = division.best.missing if division.best else 0
    return missing, division.time or 0.0


def of_rank(plan: Plan, rank: int) -> Plan:
    """The plan as one of its ranks runs it: only the first loads the text encoder, and encodes."""
    if rank == 0:
        return plan
    available = replace(plan.available, prompts_cached=True, loads_text=False)
    return replace(plan, available=available)


def divided(divisions: Divisions, options: MemoryOptions) -> tuple[Division, str]:
    """The division that the options ask for, and what the plan says of it; nothing for one GPU."""
    if options.parallel == 1:
        return divisions.of(1), ""
    one = divisions.of(1)
    if options.parallel != "all":
        division = divisions.of(options.parallel)
        return division, f"{division.title}{division.against(one)}"
    division = divisions.fastest()
    if division.ranks is None:
        return division, divisions.why_one()
    return division, f"{division.title}{division.against(one)}{divisions.left_out(division)}"


def with_parallel(plan: Plan, machine: Machine) -> Plan:
    """The plan of one GPU with what several would gain; unchanged where they gain nothing.

    Args:
        plan: without ``--parallel``.
        machine: where.
    """
    options = plan.options
    tier = named_tier(options, machine)
    if options.parallel != 1 or machine.device != "cuda" or (tier and tier.several_gpus):
        return plan
    if plan.chosen is None or plan.chosen.missing_disk:
        return plan
    fresh = replace(plan.available, weights_loaded=False, placed=None, code=frozenset())
    limited = machine.limited_to(options.vram_limit)
    one = Division(plan.candidates, plan.chosen)
    best = Divisions(plan.request, limited, plan.dtype, options, fresh, one).fastest()
    if best.ranks is None or not best.gains_on(one) or best.best is None:
        return plan
    title = "" if best.best.tier == plan.tier else f"{best.best.placement.title}, "
    now = f" instead of {seconds(one.time)}" if plan.fits and one.time else ""
    time = f"{seconds(best.time)}{now} " if best.time else ""
    text = f"{best.option}: {title}{time}({best.title.split(' (', 1)[1]}"
    return replace(plan, parallel=text)
