"""The checks of a request, cheapest first, up to the checkpoint's files on disk."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogmagic._footprint.adapters import check_adapters
from cogmagic._machine.machine import Machine
from cogmagic._machine.page_cache import cached_share
from cogmagic._machine.torch_check import checked_by_torch
from cogmagic._models.find import configs_folder, local_folder
from cogmagic._models.fitting_remarks import stretch_warning
from cogmagic._models.prompt_warnings import prompt_warnings
from cogmagic._models.request import Request
from cogmagic._pipeline.adapters import check_finite
from cogmagic._pipeline.decoding.lean import unknown_vae, unknown_vae_of
from cogmagic._pipeline.preview import OnPreview
from cogmagic._pipeline.prompt_cache import PromptCache
from cogmagic._planning.checks import check_packages
from cogmagic._planning.dtype import dtype_for
from cogmagic._planning.memory_options import MemoryOptions
from cogmagic._planning.request_checks import check_request
from cogmagic._planning.resolved import resolved
from cogmagic._planning.speeds import SPEEDS
from cogmagic._progress import Clock
from cogmagic._session.checkpoint import CheckPrompts, refuse_before_download, with_checkpoint
from cogmagic._session.kernels import compare_kernels, with_decoding_tried
from cogmagic._session.pipeline_slot import PipelineSlot
from cogmagic._video.extension import Earlier
from cogmagic._video.request_inputs import inputs_read

if TYPE_CHECKING:
    import numpy as np
    import torch

__all__ = ["Job", "prepare"]


@dataclass(frozen=True)
class Job:
    """A checked request whose checkpoint is on disk."""

    request: Request
    options: MemoryOptions
    folder: Path
    """The checkpoint."""
    texts: PromptCache
    """The cache of its prompt embeddings."""
    embeddings: tuple[torch.Tensor, ...] | None
    """The cached embeddings of its prompts; None if they must be encoded."""
    show: OnPreview | None = None
    """Receives previews of the video while it forms."""
    not_lean: str = ""
    """Why lean decoding does not apply to the checkpoint's VAE; empty if it does."""
    stay: bool = False
    """Whether the weights stay placed after the run, whatever its tier: for a batch's next row."""
    cached: float = 0.0
    """Share of the weight files' bytes that were in the page cache before the run."""
    first_run: bool = True
    """Whether this kernel has made no video yet."""
    held: int = 0
    """Bytes of the prompt embeddings of a batch's other rows."""
    earlier: Earlier | None = None
    """The clip to extend, of which the request has the first frame."""
    clip: np.ndarray[Any, Any] | None = None
    """The frames to begin from, or that an inpainting model sees, fitted: uint8 RGB, frames ×
    height × width × 3; None for noise alone."""
    mask: np.ndarray[Any, Any] | None = None
    """Which part of them is made new: uint8, frames × height × width."""
    code: frozenset[Hashable] = frozenset()
    """The keys (`code_key`) of the compiled code that the workers have."""

    @property
    def learned(self) -> bool:
        """Whether memory and speed may be learned from it: one GPU, from noise, steps alike."""
        request, options = self.request, self.options
        if request.partly_guided or self.clip is not None or options.cache:
            return False
        return not (request.loras or options.parallel != 1)


def prepare(
    request: Request,
    options: MemoryOptions,
    clock: Clock,
    slot: PipelineSlot,
    check_texts: CheckPrompts | None = None,
    *,
    reads: bool = True,
) -> Job:
    """Check the request, download its checkpoint if it is planned to fit, and import the libraries.

    Args:
        request: what to generate.
        options: what the person chose about memory.
        clock: receives the phases.
        slot: the pipeline that this kernel holds, whose memory a run may use.
        check_texts: checks the prompts before the checkpoint is downloaded; by default, those of
            the request.
        reads: whether its inputs are read; else `ANY_INPUT` may stand for them, as in a batch,
            which reads those of each row when that runs.

    Raises:
        CogMagicError: one line, with numbers and what to type next.
    """
    # What this machine cannot do at all, before torch is imported.
    machine = Machine.detect(gpus=options.gpus)
    check_request(request, options, machine)
    check_packages(request.model, options)
    folder = local_folder(request.model)
    remark = check_adapters(request, folder or configs_folder(request.model))
    clip = mask = earlier = None
    if reads:
        request, clip, mask, earlier = inputs_read(request, clock.check)
    _check_with_torch(request, options, machine, slot, folder)
    check_texts = check_texts or _check_prompts
    request, folder = with_checkpoint(request, options, machine, folder, clock, check_texts)
    _warn_once(remark, clock)
    _warn(stretch_warning(request), clock)
    job = _job(request, options, clock, slot, folder)
    return replace(job, clip=clip, mask=mask, earlier=earlier)


def _check_with_torch(
    request: Request,
    options: MemoryOptions,
    machine: Machine,
    slot: PipelineSlot,
    folder: Path | None,
) -> None:
    """Import the libraries, and refuse what they cannot do here, or a download of no use.

    Args:
        request: what to generate.
        options: what the person chose about memory.
        machine: where, as detected without torch.
        slot: the pipeline that this kernel holds.
        folder: the checkpoint, if it needs no download.
    """
    from cogmagic._pipeline.libraries import import_libraries

    import_libraries(request.model.task)
    compare_kernels(request, options, machine)
    free = with_decoding_tried(request, options, slot.without(checked_by_torch(machine)))
    if folder is None or any(adapter.file is None for adapter in request.loras):
        refuse_before_download(request, options, free, folder)


def _job(
    request: Request, options: MemoryOptions, clock: Clock, slot: PipelineSlot, folder: Path
) -> Job:
    """The job without its inputs: the files are checked, and what is known of them is looked up."""
    from cogmagic._pipeline.tensors import check_tensors

    clock.phase("load", note=request.model.name)
    check_tensors(folder)
    check_finite(request.loras)
    machine = slot.look(options, collect=False)  # the run plans with another look
    gpu = machine.roomiest
    device = gpu.name if gpu else machine.device
    dtype = dtype_for(request, machine)
    texts = PromptCache(request, folder, dtype, device, options.savings.text)
    return Job(
        request,
        options,
        folder,
        texts,
        texts.read(),
        not_lean=_why_not_lean(request, options, machine, slot, folder),
        cached=cached_share(folder) if machine.device == "cuda" else 0.0,
        first_run=slot.plan is None,
        code=slot.workers.code if slot.workers else frozenset(),
    )


def _why_not_lean(
    request: Request, options: MemoryOptions, machine: Machine, slot: PipelineSlot, folder: Path
) -> str:
    """`Job.not_lean`; empty as well where nothing that was chosen asks for it."""
    if not (options.savings.lean_decode or SPEEDS[options.speed].decode):
        return ""
    dtype = dtype_for(request, machine)
    storage = resolved(request.model, options, machine, dtype).savings.stored_as
    if slot.loaded is not None and slot.has(folder, dtype, storage):
        return unknown_vae(slot.loaded.pipe.vae)
    return unknown_vae_of(folder)


def _check_prompts(request: Request, folder: Path, clock: Clock) -> None:
    """Refuse a prompt that is too long, and warn of what is wrong with one that can run."""
    from cogmagic._pipeline.tokenizer import check_prompts

    check_prompts(request, folder)
    clock.warning = prompt_warnings(request, folder)


_WARNED: set[str] = set()
"""The remarks on adapters that this kernel has shown."""


def _warn_once(remark: str, clock: Clock) -> None:
    """Add a remark on the adapters to the run's warning the first time in this kernel."""
    if remark and remark not in _WARNED:
        _WARNED.add(remark)
        _warn(remark, clock)


def _warn(remark: str, clock: Clock) -> None:
    clock.warning = "; ".join(filter(None, (clock.warning, remark)))
