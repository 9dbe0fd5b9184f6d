"""What a node of a cluster has; sent there as code, as its cogmagic may be missing or another."""

from __future__ import annotations

from typing import Any

__all__ = ["probe"]


def probe() -> dict[str, Any]:
    """The versions on a node, and what is left of the resources of all nodes.

    Imports nothing of cogmagic but its version, and uses nothing of this module.
    """
    import platform

    import ray
    from ray._private import state

    try:
        from cogmagic._version import __version__ as version
    except ImportError:
        version = ""
    return {
        "python": platform.python_version(),
        "ray": ray.__version__,
        "cogmagic": version,
        "left": state.available_resources_per_node(),
    }
