"""Messages between the kernel, the driver of its cluster, and the actors there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from cogmagic._cluster.address import Address
from cogmagic._errors import CogMagicError
from cogmagic._models.batch_row import Row
from cogmagic._planning.memory_options import MemoryOptions
from cogmagic._progress import Progress
from cogmagic._video.video import Video

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "Actor", "BatchFailed", "Began", "Begin", "Connected", "End", "Failed", "Finished", "Free",
    "Lost", "Made", "News", "Prepared", "Progressed", "Refused", "RowFailed", "Start", "Started",
    "State", "Stopped", "Want",
]  # fmt: skip


@dataclass(frozen=True)
class Actor:
    """One place of a cluster that makes videos: a GPU, or a share of a host without any."""

    node: str
    """The host."""
    device: str = ""
    """Such as ``NVIDIA H200 139 GiB`` or ``CPU``; empty until it has started."""
    row: int | None = None
    """The number of the row that it is making; None while it is idle."""
    tier: str = ""
    """The tier of its last plan; empty before the first."""
    out: str = ""
    """Why it makes no videos, a clause; empty if it does."""
    pid: int = 0
    """Its process on that host; 0 until it has started."""
    held: int = 0
    """Bytes of weights that it holds between batches, in RAM and VRAM."""


# From the kernel to the driver.


@dataclass(frozen=True)
class Start:
    """What to connect with: the first message."""

    parent: int
    """The kernel's process."""
    address: Address
    folder: str
    """A private folder, which ends with the connection: finished files, and Ray's own of a local
    cluster."""


@dataclass(frozen=True)
class Begin:
    """Begin a batch, in place of any other."""

    number: int
    """Of the batch, counted up."""
    rows: tuple[Row, ...]
    """All rows of the batch."""
    left: tuple[int, ...]
    """The numbers of those that are to be made, in their order."""
    options: MemoryOptions
    previews: bool
    cwd: str
    """The kernel's working directory, to which the paths of inputs are relative."""


@dataclass(frozen=True)
class Want:
    """The kernel waits for this row: it has taken all before it."""

    number: int
    row: int


@dataclass(frozen=True)
class End:
    """End a batch; rows that are being made are stopped."""

    number: int


@dataclass(frozen=True)
class Free:
    """Release the weights that idle workers hold."""


# From the driver to the kernel.


@dataclass(frozen=True)
class Connected:
    """The actors have started."""


@dataclass(frozen=True)
class Refused:
    """There is no connection, and the driver ends."""

    error: CogMagicError


@dataclass(frozen=True)
class State:
    """The actors now."""

    actors: tuple[Actor, ...]


@dataclass(frozen=True)
class Prepared:
    """The batch has been checked by an actor, which has the checkpoint."""

    number: int


@dataclass(frozen=True)
class Progressed:
    """Progress of the row that the kernel waits for."""

    number: int
    row: int
    progress: Progress | None
    preview: np.ndarray[Any, Any] | None


@dataclass(frozen=True)
class Finished:
    """A finished row, whose file is in the driver's folder."""

    number: int
    row: int
    video: Video
    file: str


@dataclass(frozen=True)
class RowFailed:
    """A row that failed."""

    number: int
    row: int
    error: CogMagicError


@dataclass(frozen=True)
class BatchFailed:
    """A batch that cannot go on."""

    number: int
    error: CogMagicError


@dataclass(frozen=True)
class Lost:
    """The cluster is lost, and the driver ends."""

    reason: str


# From an actor to the driver.


@dataclass(frozen=True)
class Started:
    """An actor that has imported the libraries."""

    device: str
    pid: int
    memory: int
    """Bytes of host memory that it may use."""


@dataclass(frozen=True)
class Began:
    """An actor is ready for the rows of a batch."""

    tier: str


@dataclass(frozen=True)
class Made:
    """A finished video."""

    video: Video
    content: bytes = field(repr=False)
    """Its whole file."""


@dataclass(frozen=True)
class Failed:
    """An error of an actor."""

    error: CogMagicError
    kind: Literal["row", "misfit", "worker", "device"]
    """Whether it is the row's own, the row does not fit this actor's memory, no row can be made
    here, or the process is unusable."""


@dataclass(frozen=True)
class Stopped:
    """The task was stopped because its batch ended."""


@dataclass(frozen=True)
class News:
    """What an actor is doing."""

    row: int
    progress: Progress | None
    preview: np.ndarray[Any, Any] | None
    previews: int
    """How many previews there have been."""
