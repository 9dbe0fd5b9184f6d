"""The nodes of a cluster: versions compared, places for actors chosen."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cogmagic._cluster import probe
from cogmagic._cluster.actor import Place
from cogmagic._errors import ClusterError, error_line
from cogmagic._version import __version__

__all__ = ["alive", "check_versions", "on_node", "places"]

_CPU_ACTORS = 2
"""Most actors of a host without a GPU."""

_PROBE_SECONDS = 60.0
"""How long a node may take to say its versions."""


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
    return 1 if sys.platform == "darwin" else _CPU_ACTORS  # Ray does not count a Mac's GPU


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
                f" ({error_line(error)}). Restart Ray there: ray stop, then"
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
            fix = {"python": f"Python {version}", "cogmagic": f"cogmagic {version}"}.get(name)
            fix = fix or f"pip install {name}=={version}"
            raise ClusterError(
                f"Node {node} {has}. Use the same on all hosts ({fix}), and restart Ray there."
            )
