"""The start of the worker processes: one a rank."""

from __future__ import annotations

import os
import socket
import threading
from dataclasses import dataclass

from cogmagic._errors import DeviceError, first_line
from cogmagic._interrupts import interrupts_ignored
from cogmagic._session.parallel.messages import Start
from cogmagic._session.parallel.process import WorkerProcess

__all__ = ["Where", "start_processes"]


@dataclass(frozen=True)
class Where:
    """Where workers compute."""

    device: str
    """``cuda`` or ``cpu``."""
    ranks: tuple[int, ...]
    """Torch's index of each rank's GPU; on a CPU, 0, 1, …"""


def start_processes(where: Where, processes: list[WorkerProcess]) -> None:
    """Start the workers, rank 0 with the socket at which it keeps the ranks' store.

    Args:
        where: the ranks.
        processes: receives each as it is started, so that those can be killed after an error.

    Raises:
        DeviceError: when one cannot be started.
    """
    count = len(where.ranks)
    threads = max(_threads() // count, 1)
    with interrupts_ignored(), socket.create_server(("127.0.0.1", 0)) as listener:
        for index, gpu in enumerate(where.ranks):
            start = Start(
                index=index,
                count=count,
                device=where.device,
                gpu=gpu,
                port=listener.getsockname()[1],
                listener=listener.fileno() if index == 0 else None,
                parent=os.getpid(),
                killed_with_parent=threading.current_thread() is threading.main_thread(),
            )
            try:
                processes.append(WorkerProcess(start, threads))
            except OSError as error:
                raise DeviceError(
                    f"Worker {index + 1} of {count} cannot be started ({first_line(error)})."
                    " End other processes, or leave out --parallel."
                ) from None


def _threads() -> int:
    """The CPU threads that a run in this kernel would use."""
    import torch

    return torch.get_num_threads()
