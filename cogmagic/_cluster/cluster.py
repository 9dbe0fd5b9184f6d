"""The cluster that this kernel is connected to."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from cogmagic._cluster.address import Address, check_reachable
from cogmagic._cluster.connection import Cluster
from cogmagic._cluster.messages import Actor
from cogmagic._errors import Cancelled, ClusterError
from cogmagic._session.session import session

__all__ = ["Actor", "Cluster", "connect", "current", "disconnect"]

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
        BusyError: when a run is under way.
        Cancelled: when interrupted.
    """
    global _CURRENT
    address = Address.of(where)
    if sys.platform == "win32":
        raise ClusterError("Clusters need Linux or macOS. Run the batch in this kernel.")
    if find_spec("ray") is None:
        raise ClusterError("Ray is not installed. Type %pip install ray, then restart the kernel.")
    check_reachable(address)
    session().check_idle()
    disconnect()
    try:
        if address.local:
            session().release()  # the workers use this kernel's GPUs
        _CURRENT = Cluster(address)
    except KeyboardInterrupt:
        raise Cancelled(f"Stopped before the cluster {address} was connected.") from None
    return _CURRENT


def disconnect() -> None:
    """End the connection, and all processes of a local cluster."""
    global _CURRENT
    cluster, _CURRENT = _CURRENT, None
    if cluster is not None:
        cluster.end()
