"""The worker processes of this kernel: one a rank, started, run, stopped and killed together."""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cogmagic._interrupts import interrupts_ignored
from cogmagic._machine.gpu import context_bytes
from cogmagic._pipeline.parallel.split import Split
from cogmagic._session.parallel.answers import (
    Deadline,
    WorkersFailed,
    answers_of,
    both,
    messages_of,
)
from cogmagic._session.parallel.failures import Failed, WorkerLost
from cogmagic._session.parallel.messages import (
    Done,
    Join,
    Settle,
    Stop,
    Stopped,
    Use,
)
from cogmagic._session.parallel.process import WorkerProcess
from cogmagic._session.parallel.start import Where, start_processes

__all__ = ["Where", "Workers"]

_STOP_SECONDS = 1.2
"""How long workers may take to stop before they are killed."""

_START_SECONDS = 900.0
"""How long workers may take to start: to import torch from a slow disk takes minutes."""

_JOIN_SECONDS = 180.0
"""How long workers may take to connect."""

_SETTLE_SECONDS = 30.0
"""How long workers may take to take their weights off the GPUs."""

_NCCL = (
    "NCCL_DEBUG=INFO prints why, and NCCL_P2P_DISABLE=1 has them exchange data through host memory:"
    " set it in os.environ and run the cell again, or leave out --parallel."
)
_GLOO = (
    "They connect over the loopback interface: GLOO_SOCKET_IFNAME names another one; set it in"
    " os.environ and run the cell again, or leave out --parallel."
)
_OTHER = "Check this environment (python -c 'import torch, diffusers'), or leave out --parallel."


class Workers:
    """The worker processes that make one video together. A failure of one ends them all.

    Args:
        where: the ranks.
        check: called while they start; raises when the run is to end.

    Raises:
        DeviceError: when one cannot start.
        WorkerLost: when one was killed while it started.
    """

    def __init__(self, where: Where, check: Callable[[], None]) -> None:
        self.where = where
        self._split: Split | None = None
        self._joins = 0
        self._left: tuple[Done, ...] = ()
        self._processes: list[WorkerProcess] = []
        self._owner = os.getpid()
        atexit.register(self.kill)
        try:
            start_processes(where, self._processes)
            deadline = Deadline(self._processes, _START_SECONDS, "started", _OTHER)
            count = len(where.ranks)
            answers_of(self._processes, count, both(check, deadline.check), lambda _: None, _OTHER)
        except WorkersFailed as failed:
            self.kill()
            raise failed.cause from None
        except BaseException:
            self.kill()
            raise

    @property
    def alive(self) -> bool:
        """Whether all processes run."""
        return bool(self._processes) and all(p.alive for p in self._processes)

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes, by rank."""
        return tuple(p.pid for p in self._processes)

    @property
    def weights(self) -> int:
        """Bytes of weights in host memory that the last run left, of all workers."""
        return sum(done.weights for done in self._left)

    @property
    def hot(self) -> Mapping[int, int]:
        """Bytes of weights that the last run left on each GPU."""
        return {gpu: done.hot for gpu, done in zip(self._gpus, self._left, strict=False)}

    @property
    def vram(self) -> Mapping[int, int]:
        """Bytes that the workers use of each GPU between runs, with their CUDA contexts."""
        if not self._processes:
            return {}
        reserved = [done.reserved for done in self._left]
        reserved += [0] * (len(self._gpus) - len(reserved))  # of those that have made nothing yet
        return {g: n + context_bytes() for g, n in zip(self._gpus, reserved, strict=False)}

    @property
    def code(self) -> frozenset[Hashable]:
        """The keys (`code_key`) of the code that all of them have compiled."""
        if not self._left or len(self._left) < len(self._processes):
            return frozenset()
        return frozenset.intersection(*(done.code for done in self._left))

    @property
    def ram(self) -> int:
        """Bytes of private host memory of all workers, now."""
        return sum(p.ram() for p in self._processes)

    @property
    def _gpus(self) -> tuple[int, ...]:
        return self.where.ranks if self.where.device == "cuda" else ()

    def join(self, split: Split, check: Callable[[], None]) -> None:
        """Connect the workers for runs of `split`, unless they are.

        Raises:
            CogMagicError: when they cannot connect.
        """
        count = len(self._processes)
        environ = {n: v for n, v in os.environ.items() if n.startswith("COGMAGIC_")}
        try:
            self._ask([Use(str(Path.cwd()), environ)] * count, check)
            if split == self._split:
                return
            self._split = None
            advice = _NCCL if self.where.device == "cuda" else _GLOO
            deadline = Deadline(self._processes, _JOIN_SECONDS, "connected", advice)
            messages = [Join(split, self._joins)] * count
            self._ask(messages, both(check, deadline.check), advice=advice)
        except WorkersFailed as failed:
            self.kill()
            raise failed.cause from None
        except BaseException:
            self.kill()
            raise
        self._joins, self._split = self._joins + 1, split

    def run(
        self,
        messages: Sequence[object],
        check: Callable[[], None],
        receive: Callable[[object], None],
    ) -> tuple[Done, ...]:
        """Have the first workers carry out a message each; their answers.

        Args:
            messages: one for each rank, or one for rank 0 alone.
            check: raises when the run is to end.
            receive: called with all that rank 0 sends before its answer.

        Raises:
            WorkerLost: when one ended.
            Exception: a worker's own, as `Failed.error` has it.
        """
        try:
            answers = self._ask(messages, check, receive)
        except WorkersFailed as failed:
            self.kill()
            raise failed.cause from None
        except BaseException:
            self._stop(len(messages))
            raise
        self._left = answers + self._left[len(answers) :]
        return answers

    def settle(self, *, cool: bool = False) -> None:
        """Have the workers leave a batch's weights where `keep` says.

        Args:
            cool: whether to leave none on a GPU instead.
        """
        try:
            deadline = Deadline(self._processes, _SETTLE_SECONDS, "answered", _OTHER)
            self.run([Settle(cool)] * len(self._processes), deadline.check, lambda _: None)
        except Exception:  # they are gone, and so are the weights
            self.kill()

    def kill(self) -> None:
        """Kill the processes, and wait until their memory is free."""
        if os.getpid() != self._owner:  # a fork of the kernel that ends
            return
        with interrupts_ignored():
            processes, self._processes, self._left = self._processes, [], ()
            for process in processes:
                process.kill()
            for process in processes:
                process.close()
        atexit.unregister(self.kill)

    def _ask(
        self,
        messages: Sequence[object],
        check: Callable[[], None],
        receive: Callable[[object], None] = lambda _: None,
        advice: str = "",
    ) -> tuple[Any, ...]:
        for process, message in zip(self._processes, messages, strict=False):
            process.tell(message)
        return answers_of(self._processes, len(messages), check, receive, advice)

    def _stop(self, count: int) -> None:
        """Have the first `count` workers stop at the same step; kill those that have not, soon."""
        with interrupts_ignored():
            for process in self._processes[:count]:
                process.tell(Stop())
            left: dict[int, Done] = {}
            until = time.monotonic() + _STOP_SECONDS
            while len(left) < count and time.monotonic() < until:
                for index, message in messages_of(self._processes, set(range(count)) - {*left}):
                    if isinstance(message, Failed | WorkerLost):
                        until = 0.0
                    elif isinstance(message, Stopped | Done):
                        left[index] = message.left if isinstance(message, Stopped) else message
            if len(left) < count:
                self.kill()
            else:
                self._split = None  # they have left their groups
                self._left = tuple(left[i] for i in range(count)) + self._left[count:]
