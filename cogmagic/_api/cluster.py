"""`cluster`: connect this kernel with a Ray cluster, which then makes the rows of batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cogmagic._cluster.cluster import Actor, Cluster, connect, current, disconnect
from cogmagic._errors import RequestError
from cogmagic._html import volatile_text
from cogmagic._spelling import errors_for_python

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["NOT_CONNECTED", "Connection", "cluster", "connection"]


NOT_CONNECTED = (
    "No cluster is connected. Type %cogvideo cluster local for this machine's GPUs, or"
    " %cogvideo cluster HOST:PORT."
)
"""The answer to what needs a cluster where none is connected."""


class Connection:
    """The connection of this kernel with a cluster; its text lists the actors.

    In a ``with`` block, it ends with the block.
    """

    def __init__(self, connected: Cluster) -> None:
        self._cluster = connected

    @property
    def where(self) -> str:
        """The address, as in ``local`` or ``ray://head:10001``."""
        return self._cluster.where

    @property
    def actors(self) -> tuple[Actor, ...]:
        """The actors, each with its node, device, row in work and tier; none once it has ended."""
        return self._cluster.actors if self._is_current else ()

    def off(self) -> None:
        """End the connection, and all processes of a local cluster."""
        if self._is_current:
            disconnect()

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.off()

    def __str__(self) -> str:
        return self._cluster.lines() if self._is_current else NOT_CONNECTED

    def __repr__(self) -> str:
        ended = "" if self._is_current else ", ended"
        return f"<cluster {self.where}, {len(self.actors)} actors{ended}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        del include, exclude
        return volatile_text(str(self))

    @property
    def _is_current(self) -> bool:
        return current() is self._cluster


@errors_for_python()
def cluster(where: str | None = None) -> Connection:
    """Connect this kernel with a Ray cluster: it makes the rows of batches, a video on each GPU.

    `generate_many` and ``--prompts`` run on it until the connection's ``off`` or the kernel's end.

    Args:
        where: ``"local"`` for one on this machine, with an actor on each GPU or two on the CPU;
            ``"HOST:PORT"`` on a machine of a cluster, and ``"ray://HOST:PORT"`` outside it. None
            for the one that is connected.

    Raises:
        RequestError: for another address, and for None without a cluster.
        ClusterError: when Ray is missing, nothing answers, or no node can be used.
    """
    if where is not None:
        return Connection(connect(where))
    connected = connection()
    if connected is None:
        raise RequestError('No cluster is connected. Call cogmagic.cluster("local") first.')
    return connected


def connection() -> Connection | None:
    """The connection of this kernel; None without a cluster."""
    connected = current()
    return Connection(connected) if connected else None
