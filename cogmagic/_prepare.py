"""Everything that can refuse a request, cheapest first, up to the checkpoint's files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cogmagic._checkpoint import local_folder
from cogmagic._checks import check_savings, check_tier, dtype_for
from cogmagic._compile import check_compiler
from cogmagic._errors import TierError
from cogmagic._experience import ready
from cogmagic._folder import check_folder
from cogmagic._machine import Machine, checked_by_torch
from cogmagic._placing import Placing
from cogmagic._plan import Plan
from cogmagic._planner import plan
from cogmagic._preview import OnPreview
from cogmagic._progress import Clock
from cogmagic._report import gib
from cogmagic._request import Request
from cogmagic._texts import Texts

if TYPE_CHECKING:
    import torch

__all__ = ["Prepared", "first_plan", "look", "prepare", "would_be_killed"]


@dataclass(frozen=True)
class Prepared:
    """A request that nothing stands against but memory."""

    request: Request
    placing: Placing
    folder: Path
    """The checkpoint."""
    texts: Texts
    """Where embeddings of the prompts are kept."""
    kept: tuple[torch.Tensor, ...] | None
    """Those of the prompts, if they were encoded before."""
    show: OnPreview | None = None
    """Is given previews of the video while it forms."""


def look(gpus: Sequence[str] = ()) -> Machine:
    """This machine now, as this torch can use it, with those GPUs or all."""
    return ready(checked_by_torch(Machine.detect(gpus=gpus)), gpus)


def prepare(
    request: Request, placing: Placing, clock: Clock, now: Callable[[Placing], Machine]
) -> Prepared:
    """Check the request against the machine, bring in the libraries, and have the checkpoint here.

    Args:
        request: what to make.
        placing: how the person wants it placed.
        clock: is told of the phases.
        now: the machine as it is to a run that is placed so, once torch is here.

    Raises:
        CogMagicError: one line, with numbers and the way out.
    """
    from cogmagic._pipeline import import_libraries
    from cogmagic._text import check_prompts

    # A tier or dtype that cannot be: before torch comes in.
    seen = Machine.detect(gpus=placing.gpus).limited_to(placing.vram_limit)
    check_tier(placing.tier, seen)
    check_savings(placing.savings, placing.tier, seen)
    dtype_for(request, seen)
    folder = local_folder(request.model)
    import_libraries(request.model.task)
    if folder is None:
        from cogmagic._hub import download, fetch_tokenizer

        clock.phase("download", note=request.model.source)
        check_prompts(request, fetch_tokenizer(request.model))
        folder = download(request.model, clock.tell)
        check_folder(folder)
    else:
        check_prompts(request, folder)
    clock.phase("load", note=request.model.name)
    machine = now(placing)
    gpu = machine.roomiest
    device = gpu.name if gpu else machine.device
    texts = Texts(request, folder, dtype_for(request, machine), device)
    return Prepared(request, placing, folder, texts, texts.read())


def first_plan(
    job: Prepared, machine: Machine, waits: Callable[[Plan], bool], *, loaded: bool = False
) -> Plan:
    """The plan for what is free now.

    Args:
        job: what to make.
        machine: where.
        waits: whether the pipeline is placed already as a plan has it; it is not placed anew then
            only to leave out a text encoder that is not needed.
        loaded: whether the weights are in host memory.

    Raises:
        TierError: when nothing fits, unless the person wants it tried, and host memory allows that.
    """
    placing = job.placing
    chosen = _planned(job, machine, text=True, loaded=loaded)
    if job.kept is not None and not (chosen.fits and waits(chosen)):
        chosen = _planned(job, machine, text=False, loaded=loaded)
    if not chosen.fits and placing.cautious:
        raise TierError(_nothing_fits(chosen))
    if said := would_be_killed(chosen):
        raise TierError(said)
    if placing.compile:
        check_compiler(machine.device, chosen.tier)
    return chosen


def would_be_killed(chosen: Plan) -> str:
    """What to say if host memory is much too small: running out of it ends the kernel.

    A tenth is what host memory is predicted to (docs/benchmarks); what can be swapped out is room.
    """
    import psutil

    candidate = chosen.chosen
    if candidate is None and chosen.device != "cuda":  # where tiers hardly differ
        candidate = next(iter(chosen.candidates), None)
    if candidate is None:
        return ""
    need = candidate.peak_ram
    if candidate.missing_ram <= need * 0.1 + psutil.swap_memory().free:
        return ""
    others = sorted(chosen.candidates, key=lambda c: c.missing_vram)
    other = next((c.tier for c in others if not c.missing_ram), None)
    way = f"Use --tier {other}." if other else "End other kernels, or use --model 2b."
    return (
        f"Tier {chosen.tier!r} needs {gib(need)} of RAM, {gib(candidate.missing_ram)} more than"
        f" there is: the kernel would be killed. {way}"
    )


def _planned(job: Prepared, machine: Machine, *, text: bool, loaded: bool) -> Plan:
    placing = job.placing
    return plan(
        job.request,
        machine,
        text=text,
        loaded=loaded,
        tier=placing.tier,
        policy=placing.policy,
        vram_limit=placing.vram_limit,
        folder=job.folder,
        savings=placing.savings,
    )


def _nothing_fits(chosen: Plan) -> str:
    r = chosen.request
    said = f"{r.model.name} at {r.size} with {r.num_frames} frames does not fit: {chosen.reason}"
    said += f" ({chosen.where})."
    if chosen.changes:
        said += f" It would with {'; or with '.join(chosen.changes)}."
    return said + f" To try all the same: --tier {chosen.tier}."
