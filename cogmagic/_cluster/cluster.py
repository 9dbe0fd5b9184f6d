"""The cluster that this kernel is connected to, and the runs of batches on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from cogmagic._cluster.address import Address, check_reachable
from cogmagic._errors import ClusterError
from cogmagic._models.batch_row import Row
from cogmagic._pipeline.preview import OnPreview
from cogmagic._planning.memory_options import MemoryOptions
from cogmagic._session.row_runs import RowRuns

__all__ = ["Actor", "Cluster", "connect", "current", "disconnect"]


@dataclass(frozen=True)
class Actor:
    """One place of a cluster that makes videos: a GPU, or a share of a host without any."""

    node: str
    """The host."""
    device: str
    """Such as ``NVIDIA H200 139 GiB`` or ``CPU``."""
    row: int | None = None
    """The number of the row that it is making; None while it is idle."""
    tier: str = ""
    """The tier of its last plan; empty before the first."""
    out: str = ""
    """Why it makes no videos, a clause; empty if it does."""


class Cluster:
    """The connection of this kernel with a cluster."""

    where: str
    """The address, as in ``local`` or ``ray://head:10001``."""
    actors: tuple[Actor, ...] = ()

    def lines(self) -> str:
        """The cluster and its actors, one a line."""
        raise NotImplementedError

    def row_runs(
        self, rows: Sequence[Row], options: MemoryOptions, on_preview: OnPreview | None
    ) -> RowRuns:
        """The runs of a batch's rows on this cluster, as `RowRuns` has them for one session."""
        raise NotImplementedError


_CURRENT: Cluster | None = None


def current() -> Cluster | None:
    """The cluster that this kernel is connected to; None without one."""
    return _CURRENT


def connect(where: str) -> Cluster:
    """Connect this kernel with a cluster, in place of one that it is connected to.

    Args:
        where: ``local``, ``HOST:PORT`` or ``ray://HOST:PORT``.

    Raises:
        RequestError: for another address.
        ClusterError: when Ray is not installed, nothing answers, the versions of a node differ, or
            no node has a GPU or CPU left.
    """
    address = Address.of(where)
    if find_spec("ray") is None:
        raise ClusterError(
            'Ray is not installed. Type %pip install "cogmagic[cluster]", then restart the kernel.'
        )
    check_reachable(address)
    raise ClusterError("Clusters are not ready yet.")


def disconnect() -> None:
    """End the connection, and all processes of a local cluster."""
