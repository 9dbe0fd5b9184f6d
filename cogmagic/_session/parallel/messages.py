"""Messages between the kernel and its workers, pickled over the pipe that a worker inherits."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cogmagic._machine.machine import Machine
from cogmagic._pipeline.parallel.split import Split
from cogmagic._planning.plan import Plan
from cogmagic._progress import Phase, Progress
from cogmagic._session.prepare import Job
from cogmagic._video.report import Report

if TYPE_CHECKING:
    import numpy as np
    import torch

__all__ = [
    "Alive", "Done", "Embedded", "Encode", "Join", "Make", "PhaseBegan", "Previewed",
    "Ready", "Reported", "Settle", "Start", "StepEnded", "Stop", "Stopped", "Use",
]  # fmt: skip


# From the kernel.


@dataclass(frozen=True)
class Start:
    """What a worker is: the first message to it."""

    index: int
    """Its rank, from 0."""
    count: int
    device: str
    """The device type that computes: ``cuda`` or ``cpu``."""
    gpu: int
    """Torch's index of its GPU."""
    port: int
    """The loopback port at which rank 0 keeps the ranks' store."""
    listener: int | None
    """Rank 0's inherited socket, which listens at `port`."""
    parent: int
    """The kernel's process."""
    killed_with_parent: bool
    """Whether Linux may be asked to kill it as soon as the thread that started it ends."""


@dataclass(frozen=True)
class Use:
    """The kernel's surroundings now, which the next messages are carried out in."""

    folder: str
    """The working directory, to which paths are relative."""
    environ: dict[str, str]
    """The environment variables of cogmagic."""


@dataclass(frozen=True)
class Join:
    """Connect with the other ranks for the runs of a split."""

    split: Split
    number: int
    """How many times these workers have been connected before."""


@dataclass(frozen=True)
class Make:
    """Make a rank's share of a video."""

    job: Job
    """Without `show`, which belongs to the kernel."""
    machine: Machine
    """With the rank's own GPU alone."""
    plan: Plan
    warning: str
    previews: bool


@dataclass(frozen=True)
class Encode:
    """Encode the texts of a batch's rows."""

    job: Job
    machine: Machine
    plan: Plan
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Settle:
    """Leave a batch's weights where `keep` says."""

    cool: bool
    """Whether to leave none on the GPU instead."""


@dataclass(frozen=True)
class Stop:
    """Stop the run that is under way."""


# From a worker.


@dataclass(frozen=True)
class Alive:
    """A sign of life of a worker that is starting."""


@dataclass(frozen=True)
class Ready:
    """The worker has imported the libraries, or has connected with the other ranks."""


@dataclass(frozen=True)
class PhaseBegan:
    """A phase of rank 0 began."""

    phase: Phase
    total: int | None
    note: str


@dataclass(frozen=True)
class StepEnded:
    """A step of rank 0's phase has ended."""

    done: int
    total: int


@dataclass(frozen=True)
class Reported:
    """Other progress of rank 0."""

    progress: Progress


@dataclass(frozen=True)
class Previewed:
    """A preview: uint8 RGB, latent frames × latent height × latent width × 3."""

    pixels: np.ndarray[Any, Any]


@dataclass(frozen=True)
class Embedded:
    """The embeddings of one text, in host memory."""

    text: str
    embeds: torch.Tensor


@dataclass(frozen=True)
class Done:
    """The end of what was asked."""

    frames: np.ndarray[Any, Any] | None = None
    """Rank 0's: uint8 RGB, frames × height × width × 3."""
    report: Report | None = None
    weights: int = 0
    """Bytes of weights that the worker leaves in host memory."""
    hot: int = 0
    """Bytes of weights that it leaves on its GPU."""
    reserved: int = 0
    """Bytes that torch's allocator goes on reserving there."""
    code: frozenset[Hashable] = frozenset()
    """The keys of the code that it has compiled."""


@dataclass(frozen=True)
class Stopped:
    """The run ended because of `Stop`, and its memory is free."""

    left: Done
