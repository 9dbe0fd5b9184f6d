"""Everything that can refuse a request, cheapest first, up to the checkpoint's files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cogmagic._machine.machine import Machine
from cogmagic._models.checkpoint import check_folder
from cogmagic._models.find import local_folder
from cogmagic._models.request import Request
from cogmagic._pipeline.preview import OnPreview
from cogmagic._pipeline.prompt_cache import PromptCache
from cogmagic._planning.checks import check_savings, check_tier
from cogmagic._planning.options import Placing
from cogmagic._planning.precision import dtype_for
from cogmagic._progress import Clock

if TYPE_CHECKING:
    import torch

__all__ = ["Prepared", "prepare"]


@dataclass(frozen=True)
class Prepared:
    """A request that nothing stands against but memory."""

    request: Request
    placing: Placing
    folder: Path
    """The checkpoint."""
    texts: PromptCache
    """Where embeddings of the prompts are kept."""
    kept: tuple[torch.Tensor, ...] | None
    """Those of the prompts, if they were encoded before."""
    show: OnPreview | None = None
    """Is given previews of the video while it forms."""


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
    from cogmagic._pipeline.libraries import import_libraries
    from cogmagic._pipeline.tokenizer import check_prompts

    # A tier or dtype that cannot be: before torch comes in.
    seen = Machine.detect(gpus=placing.gpus).limited_to(placing.vram_limit)
    check_tier(placing.tier, seen)
    check_savings(placing.savings, placing.tier, seen)
    dtype_for(request, seen)
    folder = local_folder(request.model)
    import_libraries(request.model.task)
    if folder is None:
        from cogmagic._models.hub.download import download, fetch_tokenizer

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
    texts = PromptCache(request, folder, dtype_for(request, machine), device)
    return Prepared(request, placing, folder, texts, texts.read())
