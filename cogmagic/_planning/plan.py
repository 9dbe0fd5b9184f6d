"""A plan: the chosen tier, what it takes, and how the others compare."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cogmagic._models.adapters.described import planned
from cogmagic._models.model import Dtype
from cogmagic._models.request import Request
from cogmagic._pipeline.attention.registry import KERNELS
from cogmagic._pipeline.parallel.split import WHOLE, Split
from cogmagic._pipeline.speedups import NO_SPEEDUPS
from cogmagic._planning.candidate import Candidate
from cogmagic._planning.candidate_lines import peaks_text, tier_lines
from cogmagic._planning.checks import compile_refusal
from cogmagic._planning.memory_options import DEFAULTS, NOTHING_HERE, Available, MemoryOptions
from cogmagic._planning.plan_figures import PlanFigures
from cogmagic._planning.resolved import EXACT, Resolved
from cogmagic._planning.speed_times import NO_SPEED_TIMES, SpeedTimes
from cogmagic._planning.steps_text import preset_text, steps_text
from cogmagic._units import gib

__all__ = ["Plan"]

_RAM_ERROR = 0.1
"""The share of a prediction of host memory by which it may be too high (docs/benchmarks)."""


@dataclass(frozen=True, repr=False)
class Plan(PlanFigures):
    """The chosen tier, what it takes, and how the others compare. Bytes and seconds."""

    request: Request
    candidates: tuple[Candidate, ...]
    """Every tier that the machine can do, the fastest first."""
    tier: str
    """The chosen tier's name."""
    reason: str
    """Why it was chosen, in one sentence."""
    device: str
    """The device type that computes: ``cuda``, ``mps`` or ``cpu``."""
    dtype: Dtype
    rule: str
    """The tier of the published rule, whatever was chosen."""
    rule_reason: str
    where: str
    """The device that was planned for, in words."""
    options: MemoryOptions = DEFAULTS
    """The options that it was made for."""
    unpredicted: Resolved = EXACT
    """What the run uses of them where no candidate says it."""
    available: Available = NOTHING_HERE
    """What the machine has already."""
    swap: int = 0
    """Bytes of free swap, which add to host memory before a process is killed."""
    gpu: int | None = None
    """Torch's index of the GPU that a run on one uses."""
    split: Split = WHOLE
    """How the video's work is divided among GPUs."""
    ranks: tuple[int, ...] = ()
    """Torch's indices of the GPUs that share the work, by rank, or 0, 1, … on a CPU; empty where it
    is not divided."""
    fewer: str = ""
    """The ``--parallel`` of fewer GPUs with which the video would fit; empty if it fits, or none
    would do."""
    parallel: str = ""
    """What several GPUs gain, or why one makes the video; empty where there is nothing to say."""
    changes: tuple[str, ...] = ()
    """What would make a faster tier fit, or any."""
    warnings: tuple[str, ...] = ()
    """What may go wrong although it fits, words that the model does not know, and which figures
    rest on no measurement."""
    left_out: str = ""
    """A requested option that the run leaves out (it is not in `options`), and why; or empty."""
    speeds: SpeedTimes = NO_SPEED_TIMES
    """The seconds at each speed; none where they were not asked for or are unknown."""
    times: str = ""
    """Where the seconds come from; empty without any."""
    seconds_without_preset: float | None = None
    """The whole run with the model's own steps and guidance; None where it is unknown, does not
    fit, or the request has no preset."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """The requested options and the parts of the speed that the run leaves out, and why."""
        return tuple(filter(None, (self.left_out, self.speed_remark)))

    @property
    def speed_remark(self) -> str:
        """The parts of the speed that the run leaves out, and why; empty for none."""
        parts = "; ".join(self.resolved.left_out)
        return f"--speed {self.options.speed} leaves out {parts}" if parts else ""

    @property
    def gpus(self) -> tuple[int, ...]:
        """Torch's indices of the GPUs that it would use."""
        if self.split != WHOLE:
            return self.ranks if self.device == "cuda" else ()
        return self.variant.order or (() if self.gpu is None else (self.gpu,))

    @property
    def download(self) -> int:
        """Bytes that must be downloaded from the hub first."""
        return self.available.download

    @property
    def preset_note(self) -> str:
        """The request's preset, and what it saves; empty without one."""
        return preset_text(self.request, self.seconds, self.seconds_without_preset)

    @property
    def refusal(self) -> str:
        """Why a run of this plan must not be tried, with what to type; empty if it may be.

        A plan that does not fit may be tried where a tier or the rule was asked for and only VRAM
        is predicted to lack. Too little host memory would end the kernel, and too little disk the
        download, so these are always refused.
        """
        if not self.fits and (self.options.cautious or _lacks_disk(self)):
            return _does_not_fit(self)
        if problem := _would_be_killed(self):
            return problem
        return compile_refusal(self.placement) if self.options.compile else ""

    def __str__(self) -> str:
        return table(self)

    def __repr__(self) -> str:
        r, fits = self.request, "fits" if self.fits else "does not fit"
        clip = f"{r.num_frames} frames of {r.size}"
        return f"Plan({r.model.name!r}, {clip}, tier={self.tier!r}, {fits}: {self.where})"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """The table, as the value of a cell's last line."""
        del include, exclude
        return {"text/plain": str(self)}


def _lacks_disk(plan: Plan) -> bool:
    return plan.chosen is not None and plan.chosen.missing_disk > 0


def _does_not_fit(plan: Plan) -> str:
    r, reason = plan.request, plan.placement.title
    if plan.chosen is not None:
        closest = ", which comes closest," if plan.options.cautious else ""
        reason += f"{closest} {plan.chosen.reason}"
    text = f"{r.model.name} at {r.size} with {r.num_frames} frames does not fit: {reason}"
    text += f" ({plan.where})."
    if plan.left_out:
        text += f" {plan.left_out}."
    if _lacks_disk(plan):
        return f"{text} Free some space, or set HF_HOME to a larger disk and restart the kernel."
    if plan.changes:
        text += f" It would fit with {'; or with '.join(plan.changes)}."
    if plan.chosen and plan.chosen.missing == plan.chosen.missing_vram:
        text += f" To try anyway: --tier {plan.tier}."
    return text


def _would_be_killed(plan: Plan) -> str:
    """The refusal where host memory is much too small: running out of it ends the kernel.

    A shortage within the prediction's error, or that fits the free swap, may be tried.
    """
    candidate = plan.chosen
    if candidate is None and plan.device != "cuda" and plan.placement.weights == "host":
        # Without a GPU these tiers hardly differ.
        candidate = next(iter(plan.candidates), None)
    if candidate is None:
        return ""
    if candidate.missing_ram <= candidate.peak_ram * _RAM_ERROR + plan.swap:
        return ""
    others = sorted(plan.candidates, key=lambda c: c.missing_vram)
    other = next((c.tier for c in others if not c.missing_ram), None)
    smaller = "" if plan.request.model.name == "2b" else ", or use --model 2b"
    use = plan.fewer or (other and f"--tier {other}")
    advice = f"Use {use}." if use else f"End other kernels{smaller}."
    kind = "memory, which CPU and GPU share" if candidate.shared else "RAM"
    kind += f" for {plan.split.count} processes" if plan.split != WHOLE else ""
    return (
        f"Tier {plan.tier!r} needs {gib(candidate.host_memory)} of {kind},"
        f" {gib(candidate.missing_ram)} more than is available: the kernel would be killed."
        f" {advice}"
    )


def table(plan: Plan) -> str:
    """The plan as text: a line for each tier, then the reason, the rule, and what would help."""
    r, tier = plan.request, plan.placement
    lines = tier_lines(plan.candidates, plan.tier)
    title = "" if tier.title == tier.name else f" ({tier.title})"
    help_ = "faster   with" if plan.fits else "helps   "
    gain = [plan.speeds.gain] if plan.speeds.gain else []
    several = plan.options.parallel != 1
    gain += [plan.parallel] if plan.parallel and not several else []
    lines += [
        f"tier     {tier.name}{title}: {tier.meaning}",
        f"why      {plan.reason}",
        *([f"parallel {plan.parallel}"] if several and plan.parallel else []),
        *([f"peaks    {peaks_text(plan.ranks, plan.peaks)}"] if plan.ranks and plan.peaks else []),
        f"rule     {plan.rule} ({plan.rule_reason})",
        *(f"{help_} {change}" for change in (*gain, *plan.changes)),
        *([f"refused  {plan.refusal}"] if plan.fits and plan.refusal else []),
        *(f"warning  {warning}" for warning in plan.warnings),
        f"model    {r.model.name} ({r.model.source}), {plan.dtype} on {plan.where}",
        f"request  {r.num_frames} frames of {r.size} at {r.fps} fps, {steps_text(r)}",
        *([f"preset   {plan.preset_note}"] if r.preset else []),
        *(f"LoRA     {planned(adapter)}" for adapter in r.loras),
        "VAE      slicing and tiling on",
        *_notes(plan),
    ]
    return "\n".join(lines)


def _notes(plan: Plan) -> list[str]:
    lines, savings = [], plan.options.savings
    if plan.times:
        lines.append(f"times    {plan.times}")
    lines += [f"speeds   {plan.speeds}"] if plan.speeds.times else []
    if plan.speedups != NO_SPEEDUPS:
        lines.append(f"speed    {_parts(plan)}")
    if plan.speed_remark:
        lines.append(f"speed    {plan.speed_remark}")
    if savings.names:
        lines.append(f"savings  {savings.flags}")
    if (weights := plan.savings.weights) and weights.title:
        lines.append(f"storage  {weights.title}: {weights.price}")
    if plan.speedups.attention:
        kernel = KERNELS[plan.speedups.attention]
        lack = "" if kernel.installed() else f" (needs {kernel.requirement})"
        lines.append(f"kernel   {kernel.title}, in place of torch's own attention{lack}")
    if cache := plan.speedups.cache:
        lines.append(f"cache    {cache}: reused steps depend on the clip; the times count none")
    if plan.available.prompts_cached:
        lines.append("text     prompt embeddings cached: the text encoder is not needed")
    if plan.available.weights_loaded:
        lines.append("weights  in host memory from an earlier run: not read again")
    if plan.download:
        lines.append(f"download {plan.download / 1e9:.1f} GB from the hub, first")
    return lines


def _parts(plan: Plan) -> str:
    """The speed with all that the run uses; for *exact*, what makes its bits others."""
    uses, name = plan.resolved, plan.options.speed
    if name != "exact":
        return f"{name}: {uses.words}"
    uses = replace(uses, savings=replace(uses.savings, lean_decode=False))  # which keeps them
    return f"exact but for {uses.words}"
