"""The kernel's handle of one worker process."""

from __future__ import annotations

import os

from cogmagic._session.parallel.child_process import ChildProcess
from cogmagic._session.parallel.messages import Start

__all__ = ["WorkerProcess"]

_MODULE = "cogmagic._session.parallel.worker"


class WorkerProcess(ChildProcess):
    """A worker process.

    Args:
        start: what it is.
        threads: CPU threads that it may use.

    Raises:
        OSError: when the process cannot be started.
    """

    def __init__(self, start: Start, threads: int) -> None:
        super().__init__(
            f"worker {start.index + 1} of {start.count}",
            _MODULE,
            start,
            {"OMP_NUM_THREADS": str(threads)},
            inherited=() if start.listener is None else (start.listener,),
            captured="NCCL_DEBUG" not in os.environ,
        )
