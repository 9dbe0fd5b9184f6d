"""A pipe between the kernel and a child process, over which messages are pickled."""

from __future__ import annotations

import os
import pickle
import socket
from multiprocessing.connection import Connection
from threading import Lock
from typing import Any

__all__ = ["Link"]


class Link:
    """One end of a pipe between the kernel and a child process.

    Messages are pickled by `pickle` itself: torch has multiprocessing's own pickler send tensors
    through shared memory, which a killed process leaves behind.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._lock = Lock()

    def send(self, message: object) -> None:
        """Send a message, from any thread.

        Raises:
            OSError: when the other end is closed.
        """
        data = pickle.dumps(message, protocol=5)
        with self._lock:
            self.connection.send_bytes(data)

    def close(self) -> None:
        """Tell the other end that nothing more will be sent, also while a thread receives.

        Raises:
            OSError: when the other end is closed.
        """
        with socket.socket(fileno=os.dup(self.connection.fileno())) as same:
            same.shutdown(socket.SHUT_RDWR)

    def receive(self) -> Any:
        """The next message.

        Raises:
            EOFError, OSError: when the other end is closed.
        """
        return pickle.loads(self.connection.recv_bytes())  # noqa: S301 - of our own processes
