"""The head of a cluster, as its driver watches it."""

from __future__ import annotations

import socket
import time

__all__ = ["await_loss"]

_ANSWER_SECONDS = 10.0
"""How long the head may take to accept a connection before it counts as missing."""

_MISSES = 3
"""Connections in a row that the head may miss before it counts as lost."""


def await_loss(host: str, port: int) -> None:
    """Wait until the head accepts no connections any more."""
    misses = 0
    while misses < _MISSES:
        try:
            socket.create_connection((host, port), _ANSWER_SECONDS).close()
            misses = 0
        except OSError:
            misses += 1
        time.sleep(0.5)
