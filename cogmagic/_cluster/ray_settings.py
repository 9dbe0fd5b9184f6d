"""What Ray is started with: its settings, and where its temporary files go."""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path

from cogmagic._cluster.address import Address

__all__ = ["ray_environ", "short_temporary"]


def short_temporary() -> str | None:
    """The folder of temporary files; /tmp where its path is too long for Ray's sockets."""
    folder = tempfile.gettempdir()
    return folder if len(folder) <= 20 or not Path("/tmp").is_dir() else "/tmp"  # noqa: S108


def ray_environ(address: Address) -> dict[str, str]:
    """Ray's settings: it reports nothing, and writes nothing but its temporary folder.

    Without a token of its own, a local cluster would make ``~/.ray/auth_token``.
    """
    environ = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL": "minor",
        "RAY_worker_niceness": "0",  # Ray's 15 would have a GPU wait for its host
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_agent_register_timeout_ms": "150000",  # its raylet waits 15 s for it else
        "PYTHONWARNINGS": "ignore",
    }
    if address.local:
        environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        environ |= {"RAY_ADDRESS": "", "RAY_prestart_worker_first_driver": "0"}
    return environ
