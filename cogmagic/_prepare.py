"""Everything that can refuse a request, cheapest first, up to the checkpoint's files."""

from __future__ import annotations

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
from cogmagic._request import Request
from cogmagic._texts import Texts

if TYPE_CHECKING:
    import torch

__all__ = ["Prepared", "first_plan", "look", "prepare"]


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


def look() -> Machine:
    """This machine now, as this torch can use it."""
    return ready(checked_by_torch(Machine.detect()))


def prepare(request: Request, placing: Placing, clock: Clock) -> Prepared:
    """Check the request against the machine, bring in the libraries, and have the checkpoint here.

    Raises:
        CogMagicError: one line, with numbers and the way out.
    """
    from cogmagic._pipeline import import_libraries
    from cogmagic._text import check_prompts

    seen = Machine.detect()  # a tier or dtype that cannot be: before torch comes in
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
    machine = look()
    gpu = machine.roomiest
    device = gpu.name if gpu else machine.device
    texts = Texts(request, folder, dtype_for(request, machine), device)
    return Prepared(request, placing, folder, texts, texts.read())


def first_plan(job: Prepared, machine: Machine) -> Plan:
    """The plan for what is free now.

    Raises:
        TierError: when nothing fits, unless the person wants it tried.
    """
    placing = job.placing
    chosen = plan(
        job.request,
        machine,
        text=job.kept is None,
        tier=placing.tier,
        policy=placing.policy,
        vram_limit=placing.vram_limit,
        folder=job.folder,
        savings=placing.savings,
    )
    if not chosen.fits and placing.cautious:
        raise TierError(_nothing_fits(chosen))
    if placing.compile:
        check_compiler(machine.device, chosen.tier)
    return chosen


def _nothing_fits(chosen: Plan) -> str:
    r = chosen.request
    said = f"{r.model.name} at {r.size} with {r.num_frames} frames does not fit: {chosen.reason}"
    said += f" ({chosen.where})."
    if chosen.changes:
        said += f" It would with {'; or with '.join(chosen.changes)}."
    return said + f" To try all the same: --tier {chosen.tier}."
