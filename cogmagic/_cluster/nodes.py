"""The nodes of a cluster: Ray started or joined, versions compared, places for actors chosen."""

from __future__ import annotations

import os
import platform
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import psutil
import ray
from ray._private import services
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cogmagic._cluster import probe
from cogmagic._cluster.actor import Place
from cogmagic._cluster.leftovers import end_processes, remove_later
from cogmagic._cluster.messages import Start
from cogmagic._errors import ClusterError, first_line
from cogmagic._version import __version__

__all__ = ["alive", "check_versions", "connected", "leave", "on_node", "places", "refusal"]

_OBJECT_STORE = 78 * 2**20
"""Bytes of shared memory of a local cluster: the least that Ray takes. A video has some MB."""

_CPU_ACTORS = 2
"""Most actors of a host without a GPU."""

_ATTEMPTS = 2
"""Starts of a local cluster."""

_NODE_SECONDS = 150.0
"""How long a node may take to start: 10 s on two idle cores, and over 60 on busy ones."""

_PROBE_SECONDS = 60.0
"""How long a node may take to say its versions."""

_SHUTDOWN_SECONDS = 3.0
"""How long Ray may take to leave a cluster."""


def connected(start: Start) -> None:
    """Start Ray on this machine, or join a cluster.

    Raises:
        ClusterError: when that fails.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _init(start)
            return
        except Exception as error:  # Ray raises many kinds
            started = psutil.Process().children(recursive=True)  # before their parent has ended
            with suppress(Exception):
                ray.shutdown()
            end_processes(started)
            if attempt < _ATTEMPTS and start.address.local and "timed out" in str(error):
                continue
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
    with chdir(start.folder), _patient():
        ray.init(**options)


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
            f"Ray could not be started on this machine ({type(error).__name__}:"
            f" {first_line(error)}). Try it again when the machine is less busy."
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
        f"The cluster at {address} cannot be joined ({type(error).__name__}: {first_line(error)})."
        f" {advice}"
    )


def on_node(node_id: str) -> NodeAffinitySchedulingStrategy:
    """Ray's option for what must run on one node."""
    return NodeAffinitySchedulingStrategy(node_id=node_id, soft=False)


def alive(node_id: str) -> bool:
    """Whether a node belongs to the cluster still."""
    return any(node["NodeID"] == node_id and node["Alive"] for node in ray.nodes())


def places(*, local: bool) -> list[Place]:
    """A place for each free GPU; on a cluster without any, two on each host at most.

    Args:
        local: whether it is a cluster of this machine alone, whose versions need no check.

    Raises:
        ClusterError: when versions differ, or nothing is free.
    """
    nodes = [node for node in ray.nodes() if node["Alive"]]
    left = {node["NodeID"]: node["Resources"] for node in nodes}
    if not local:
        probed = _probed(nodes)
        for node in nodes:  # two may have one host
            check_versions({node["NodeManagerHostname"]: probed[node["NodeID"]]})
        left |= next(iter(probed.values()))["left"]
    with_gpus = [node for node in nodes if node["Resources"].get("GPU", 0) >= 1]
    chosen = []
    for node in with_gpus or nodes:
        unit = "GPU" if with_gpus else "CPU"
        free = int(left[node["NodeID"]].get(unit, 0))
        count = free if with_gpus else min(free, _most_on_cpu())
        threads = int(node["Resources"].get("CPU", 0)) // max(count, 1) or 1
        place = Place(
            node=node["NodeManagerHostname"],
            node_id=node["NodeID"],
            gpus=int(bool(with_gpus)),
            shares=count,
            threads=None if local and "OMP_NUM_THREADS" in os.environ else threads,
            cwd=str(Path.cwd()) if local else "",
        )
        chosen += [place] * count
    if not chosen:
        unit = "GPU" if with_gpus else "CPU"
        total = sum(int(node["Resources"].get(unit, 0)) for node in nodes)
        raise ClusterError(
            f"No {unit} of the cluster is free: other jobs use all {total} of its {len(nodes)}"
            " nodes. Wait for them (ray status lists them), or add a node."
        )
    return chosen


def _most_on_cpu() -> int:
    return 1 if sys.platform == "darwin" else _CPU_ACTORS  # a Mac's one GPU is no resource of Ray


def _probed(nodes: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What each node has, by its id."""
    ray.cloudpickle.register_pickle_by_value(probe)
    task = ray.remote(num_cpus=0, max_retries=0)(probe.probe)
    asked = {
        node["NodeID"]: task.options(scheduling_strategy=on_node(node["NodeID"])).remote()
        for node in nodes
    }
    answers = {}
    for node in nodes:
        try:
            answers[node["NodeID"]] = ray.get(asked[node["NodeID"]], timeout=_PROBE_SECONDS)
        except Exception as error:
            raise ClusterError(
                f"Node {node['NodeManagerHostname']} cannot run anything"
                f" ({type(error).__name__}: {first_line(error)}). Restart Ray there: ray stop, then"
                " ray start."
            ) from None
    return answers


def check_versions(nodes: Mapping[str, Mapping[str, Any]]) -> None:
    """Check that all nodes have this kernel's versions.

    Args:
        nodes: the versions (`probe`) of each host.

    Raises:
        ClusterError: for the first that has another.
    """
    mine = {"python": platform.python_version(), "ray": ray.__version__, "cogmagic": __version__}
    for node, theirs in nodes.items():
        for name, version in mine.items():
            other = str(theirs[name])
            minor = name == "python" and version.split(".")[:2] == other.split(".")[:2]
            if other == version or minor:
                continue
            title = {"python": "Python", "ray": "Ray"}.get(name, name)
            has = f"has {title} {other}, but this kernel {version}"
            if not other:
                has = f"has no {title}, but this kernel has {version}"
            fix = f"pip install {name}=={version}" if name != "python" else f"Python {version}"
            raise ClusterError(
                f"Node {node} {has}. Use the same on all hosts ({fix}), and restart Ray there."
            )
