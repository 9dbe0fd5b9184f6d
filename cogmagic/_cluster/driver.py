"""The driver of a cluster: a child of the kernel, and the only process that uses Ray as a driver.

Ray ends its driver's process when the head of the cluster is lost, which the kernel must survive.
Started as ``python -P -m cogmagic._cluster.driver FD``.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any

import ray
from ray.exceptions import RayTaskError

from cogmagic._cluster.batch_run import BatchRun
from cogmagic._cluster.head import await_loss
from cogmagic._cluster.messages import (
    Begin,
    Connected,
    End,
    Free,
    Lost,
    Refused,
    Start,
    State,
    Want,
)
from cogmagic._cluster.nodes import alive, places
from cogmagic._cluster.ray_start import connected, leave
from cogmagic._cluster.worker import Worker, ending_of
from cogmagic._errors import ClusterError, error_line
from cogmagic._session.parallel.link import Link

__all__ = ["main"]

_POLL_SECONDS = 0.05

_START_SECONDS = 600.0
"""How long all actors may take to start: importing torch from a slow disk takes minutes."""

_STOP_SECONDS = 30.0
"""How long an actor may take to stop before its process is replaced."""


def main(pipe: int) -> None:
    """Serve the kernel at the other end of the inherited `pipe`, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    link = Link(Connection(pipe))
    driver = Driver(link, link.receive())
    for thread in (driver.read, driver.watch_kernel):
        Thread(target=thread, daemon=True).start()
    try:
        driver.serve()
    except ClusterError as error:
        driver.send(Refused(error))
    except Exception as error:  # such as the loss of the head in the middle of a call of Ray
        driver.send(Lost(error_line(error)))
    driver.end()


class Driver:
    """The connection with a cluster, its workers, and the batch that they make."""

    def __init__(self, link: Link, start: Start) -> None:
        self._link, self._start = link, start
        self._messages: SimpleQueue[object] = SimpleQueue()
        self._ending = Lock()
        self._workers: list[Worker] = []
        self._shown: object = None
        self._batch: BatchRun | None = None
        self._number = 0
        """The batch that was begun last."""
        self._stopping: dict[int, float] = {}
        """When each worker of an ended batch was stopped."""

    def read(self) -> None:
        """Read messages; without a kernel, end at once, whatever the main thread does."""
        try:
            while True:
                self._messages.put(self._link.receive())
        except Exception as error:  # also that of an object which only the kernel can unpickle
            self.send(Lost(error_line(error)))
        self.end()

    def watch_kernel(self) -> None:
        """End with the kernel even if others hold its pipe open."""
        while os.getppid() == self._start.parent:
            time.sleep(0.5)
        self.end()

    def watch_head(self, host: str, port: int) -> None:
        """End soon after the head of the cluster is lost."""
        await_loss(host, port)
        self.send(Lost(f"its head does not answer at {host}:{port}"))
        self.end()

    def send(self, message: object) -> None:
        """Send a message to the kernel, if it is alive."""
        with suppress(OSError):
            self._link.send(message)

    def end(self) -> None:
        """End the connection, what a local cluster has started, and this process."""
        self._ending.acquire()  # for good: another thread's end is under way otherwise
        try:
            leave(self._start)
        finally:
            os._exit(0)

    def serve(self) -> None:
        """Carry out messages until the kernel ends.

        Raises:
            ClusterError: when there is no connection.
        """
        address = self._start.address
        connected(self._start)
        host, port = address.host, address.port
        if not address.client:
            host, _, number = ray.get_runtime_context().gcs_address.rpartition(":")
            port = int(number)
        Thread(target=self.watch_head, args=(host.strip("[]"), port), daemon=True).start()
        self._workers = [Worker(i, p) for i, p in enumerate(places(local=address.local))]
        self._await_start()
        self._show()
        self.send(Connected())
        while True:
            self._receive()
            self._collect(_POLL_SECONDS)
            if self._batch is not None:
                self._batch.dispatch()
            self._replace_stuck()
            self._show()

    def _await_start(self) -> None:
        until = time.monotonic() + _START_SECONDS
        while any(w.call is not None for w in self._workers) and time.monotonic() < until:
            self._collect(1.0)
        for worker in [w for w in self._workers if w.call is not None]:
            worker.leave(f"it has not started within {_START_SECONDS:.0f} s")
        if all(w.out for w in self._workers):
            reasons = "; ".join(f"{w.name}: {w.out}" for w in self._workers)
            raise ClusterError(f"No worker could start ({reasons}).")

    def _receive(self) -> None:
        """Carry out the kernel's messages; while nothing is under way, wait for one."""
        idle = self._batch is None and all(w.call is None for w in self._workers)
        try:
            message = self._messages.get(timeout=1.0) if idle else self._messages.get_nowait()
            while True:
                self._carry_out(message)
                message = self._messages.get_nowait()
        except Empty:
            return

    def _carry_out(self, message: object) -> None:
        match message:
            case Begin():
                self._end_batch()
                with suppress(OSError):
                    os.chdir(message.cwd)
                self._number = message.number
                self._batch = BatchRun(message, self._workers, self._start, self.send)
            case Want() if self._batch and self._batch.number == message.number:
                self._batch.want(message.row)
            case End() if self._batch and self._batch.number == message.number:
                self._end_batch()
            case Free() if self._batch is None:
                for worker in self._workers:
                    worker.release()

    def _end_batch(self) -> None:
        """Stop what is under way, and leave the weights where `keep` says."""
        if self._batch is None:
            return
        for worker in self._workers:
            if worker.out:
                continue
            if worker.call is not None and worker.task in ("begin", "make"):
                worker.control("cancel", self._batch.number)
                self._stopping[worker.index] = time.monotonic()
            elif worker.call is None and worker.batch == self._batch.number:
                worker.ask("settle")
        self._batch.end()
        self._batch = None

    def _collect(self, seconds: float) -> None:
        """Take the answers of workers that have finished what they were asked."""
        calls = {w.call: w for w in self._workers if w.call is not None}
        if not calls:
            if self._batch is not None:
                time.sleep(seconds)
            return
        for call in ray.wait(list(calls), num_returns=1, timeout=seconds)[0]:
            self._take(calls[call], call)

    def _take(self, worker: Worker, call: Any) -> None:
        task, row, worker.call, worker.row = worker.task, worker.row, None, 0
        stopped = self._stopping.pop(worker.index, None) is not None
        try:
            answer = ray.get(call, timeout=60)
        except Exception as error:  # Ray has many kinds; each is the end of the process
            how = ending_of(error)
            if task == "start" and isinstance(error, RayTaskError):
                worker.leave(how)
            else:
                worker.has_died(how, node_alive=alive(worker.place.node_id))
            if self._batch is not None and row and not stopped:
                self._batch.died(worker, row, f"{worker.name}: {worker.out or how}")
            return
        if task == "start":
            worker.started(answer)
        elif self._batch is not None and not stopped and task != "settle":
            self._batch.take(worker, task, row, answer)
        elif task in ("begin", "make"):
            worker.batch = 0
            worker.ask("settle")
        else:
            worker.settled(answer)

    def _replace_stuck(self) -> None:
        """Replace actors that have not stopped in time."""
        for index, since in list(self._stopping.items()):
            if time.monotonic() - since > _STOP_SECONDS:
                self._stopping[index] = math.inf  # once; its answer ends the waiting
                self._workers[index].kill()

    def _show(self) -> None:
        """Send the state of the workers if it has changed."""
        actors = tuple(worker.shown(self._number) for worker in self._workers)
        if actors != self._shown:
            self._shown = actors
            self.send(State(actors))


if __name__ == "__main__":
    main(int(sys.argv[1]))
