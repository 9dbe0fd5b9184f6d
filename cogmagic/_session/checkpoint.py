"""The checkpoint and the adapters of a request: downloaded, or refused before that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cogmagic._errors import TierError
from cogmagic._machine.machine import Machine
from cogmagic._models.catalog import catalogued
from cogmagic._models.checkpoints.folder import check_folder
from cogmagic._models.checkpoints.identify import with_packed
from cogmagic._models.find import configs_folder
from cogmagic._models.request import Request
from cogmagic._planning.checks import check_packages, check_stored
from cogmagic._planning.memory_options import Available, MemoryOptions
from cogmagic._planning.planner import plan
from cogmagic._progress import Clock

__all__ = ["CheckPrompts", "refuse_before_download", "with_checkpoint"]


CheckPrompts = Callable[[Request, Path, Clock], None]
"""Refuses prompts that the tokenizer in a folder finds too long."""


def refuse_before_download(
    request: Request, options: MemoryOptions, machine: Machine, folder: Path | None
) -> None:
    """Plan with what is known without the weights of the model, or without those of adapters.

    Args:
        request: what to generate.
        options: what the person chose about memory.
        machine: where.
        folder: the checkpoint, if it needs no download.

    Raises:
        OutputError: when the download does not fit the disk.
        TierError: when the plan's run must not be tried.
    """
    from cogmagic._models.hub.disk import bytes_to_download, check_disk_space, disk_for_downloads

    model = request.model
    download = bytes_to_download(model) if folder is None else 0
    download += sum(adapter.download for adapter in request.loras)
    check_disk_space(model.source if folder is None else request.loras[0].name, download)
    configs = None if catalogued(model.source) else configs_folder(model)
    available = Available(folder=configs, download=download)
    first = plan(request, replace(machine, disk=disk_for_downloads()), options, available)
    if first.refusal:
        raise TierError(first.refusal)


def with_checkpoint(
    request: Request,
    options: MemoryOptions,
    machine: Machine,
    folder: Path | None,
    clock: Clock,
    check_texts: CheckPrompts,
) -> tuple[Request, Path]:
    """The request with its adapters on this machine, and its checkpoint.

    Args:
        request: what to generate.
        options: what the person chose about memory.
        machine: where.
        folder: the checkpoint, if it needs no download.
        clock: receives the phases of downloads.
        check_texts: checks the prompts, before the checkpoint is downloaded.

    Raises:
        CogMagicError: for prompts that are too long, a download that fails, and files that this
            machine cannot use.
    """
    if folder is None:
        folder = _downloaded(request, clock, check_texts)
        request = replace(request, model=with_packed(request.model, folder))
        check_stored(request.model, options, machine)
        check_packages(request.model, options)
    else:
        check_texts(request, folder, clock)
    return _with_downloaded_adapters(request, clock), folder


def _downloaded(request: Request, clock: Clock, check_texts: CheckPrompts) -> Path:
    """The checkpoint's folder, downloaded after the prompts were checked by its tokenizer."""
    from cogmagic._models.hub.download import download, fetch_tokenizer

    clock.phase("download", note=request.model.source)
    check_texts(request, fetch_tokenizer(request.model), clock)
    folder = download(request.model, clock.report)
    check_folder(folder)
    return folder


def _with_downloaded_adapters(request: Request, clock: Clock) -> Request:
    """The request with the files of all its adapters on this machine."""
    adapters = []
    for adapter in request.loras:
        if adapter.file is None:
            clock.phase("download", note=adapter.name)
        adapters.append(adapter.downloaded(clock.report))
    return replace(request, loras=tuple(adapters))
