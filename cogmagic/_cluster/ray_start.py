"""The connection to Ray: started on this machine, or joined, and left again."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, chdir, contextmanager, nullcontext, suppress
from threading import Thread
from typing import Any

import psutil
import ray
from ray._private import node, parameter, services

from cogmagic._cluster.leftovers import end_processes, remove_later
from cogmagic._cluster.messages import Start
from cogmagic._errors import ClusterError, error_line, first_line, plain_line

__all__ = ["connected", "leave", "refusal"]

_OBJECT_STORE = 78 * 2**20
"""Bytes of shared memory of a local cluster: the least that Ray takes. A video has some MB."""

_LOCAL_ATTEMPTS = 2
"""Starts of a local cluster: the first may be slow, or another process may take a port."""

_CLIENT_ATTEMPTS = 4
"""Sessions asked of a head's client server, which loses 7 % of the processes that it starts for
them (https://github.com/ray-project/ray/issues/63202). Ray needs 30 s to report one as lost."""

_NODE_SECONDS = 150.0
"""How long a node may take to start: 15 s on two busy cores, and 31 with all of Ray's processes."""

_PORTS = (
    "metrics_agent_port",
    "metrics_export_port",
    "dashboard_agent_listen_port",
    "runtime_env_agent_port",
)
"""Ray's parameters for the ports of a node's agents."""

_SHUTDOWN_SECONDS = 3.0
"""How long Ray may take to leave a cluster."""


def connected(start: Start) -> None:
    """Start Ray on this machine, or join a cluster.

    Raises:
        ClusterError: when that fails.
    """
    attempts = _LOCAL_ATTEMPTS if start.address.local else _CLIENT_ATTEMPTS
    for left in reversed(range(attempts)):
        try:
            _init(start)
            return
        except Exception as error:  # Ray raises many kinds
            started = psutil.Process().children(recursive=True)  # before their parent has ended
            with suppress(Exception):
                ray.shutdown()
            end_processes(started)
            if not left or not (start.address.local or isinstance(error, ConnectionAbortedError)):
                raise refusal(start, error) from None


def _init(start: Start) -> None:
    address = start.address
    options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    if address.local:
        options |= {
            "address": "local",
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE,
            "_temp_dir": start.folder,
            "_node_ip_address": "127.0.0.1",
        }
    else:
        options["address"] = str(address) if address.client else address.place
    # Ray has its workers import modules from this folder first: not from the kernel's, where a
    # file such as torch.py would be imported in place of the library.
    with chdir(start.folder), _patient(), _lean() if address.local else nullcontext():
        ray.init(**options)


@contextmanager
def _lean() -> Iterator[None]:
    """Have Ray start only the processes of a node that batches use, at ports of our choice.

    Ray's options cannot leave out the autoscaler, the log monitor and the dashboard's server, which
    take 8 of 23 seconds of a core. And a node whose agents choose their ports ends itself when they
    take over 15 s to report them, as they do on busy cores.
    """
    parameters, server = parameter.RayParams, node.Node.start_api_server

    def lean(**options: Any) -> Any:
        fewer = {"no_monitor": True, "include_log_monitor": False}
        return parameters(**options | _ports() | fewer)

    def no_server(self: Any, **_: Any) -> None:
        self._webui_url = ""

    parameter.RayParams, node.Node.start_api_server = lean, no_server
    try:
        yield
    finally:
        parameter.RayParams, node.Node.start_api_server = parameters, server


def _ports() -> dict[str, int]:
    """A free port for each of the node's agents."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in _PORTS]
        for each in sockets:
            each.bind(("", 0))
        return {name: each.getsockname()[1] for name, each in zip(_PORTS, sockets, strict=True)}


@contextmanager
def _patient() -> Iterator[None]:
    """Have Ray wait longer for a node that it starts than the 30 s that it allows itself.

    It asks again and again until the node is there; here the first question waits for the answer.
    """
    ask = services.get_node

    def get_node(*arguments: Any, **options: Any) -> Any:
        until = time.monotonic() + _NODE_SECONDS
        while True:
            try:
                return ask(*arguments, **options)
            except RuntimeError:  # not there yet
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)

    services.get_node = get_node
    try:
        yield
    finally:
        services.get_node = ask


def leave(start: Start) -> None:
    """End the connection, and what a local cluster has started."""
    if start.address.local:
        end_processes(psutil.Process().children(recursive=True))
    else:
        ended = Thread(target=ray.shutdown, daemon=True)
        ended.start()
        ended.join(_SHUTDOWN_SECONDS)
    remove_later(start.folder)


def refusal(start: Start, error: Exception) -> ClusterError:
    """The error of a connection that failed, in one line."""
    text, address = str(error), start.address
    versions = re.findall(r"Ray: (\S+)\s+Python: (\S+)", text)
    if len(versions) == 2:
        (their_ray, their_python), (our_ray, our_python) = versions
        return ClusterError(
            f"The cluster at {address} runs Ray {their_ray} on Python {their_python}, but this"
            f" kernel has Ray {our_ray} on Python {our_python}. Use the same versions on all hosts:"
            f" pip install ray=={their_ray}"
        )
    if address.local:
        return ClusterError(
            f"Ray could not be started on this machine ({error_line(error)})."
            " Try again when the machine is less busy."
        )
    if isinstance(error, ConnectionAbortedError):  # its text ends with a traceback of the server's
        reason = (text.strip().splitlines() or [type(error).__name__])[-1]
        return ClusterError(
            f"The head of the cluster at {address} could not start a session for this kernel"
            f" ({plain_line(reason)}). Try again when the head is less busy."
        )
    if "token" in text.lower() or "auth" in text.lower():
        return ClusterError(
            f"The cluster at {address} refused this kernel's token ({first_line(error)}). Copy"
            " ~/.ray/auth_token from its head to this host, and connect again."
        )
    advice = "Check that the port is that of Ray's client server (10001 by default)."
    if not address.client:
        advice = (
            f"This host must be a node of the cluster (ray start --address={address.place}) with"
            " its head's token (~/.ray/auth_token); from outside, type %cogvideo cluster"
            f" ray://{address.host}:10001."
        )
    return ClusterError(
        f"The cluster at {address} cannot be joined ({error_line(error)}). {advice}"
    )
