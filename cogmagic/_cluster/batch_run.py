"""A batch as the driver runs it: rows given to idle workers, and their answers sent on."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray

from cogmagic._cluster.inputs import lora_files, portable, without_inputs
from cogmagic._cluster.messages import (
    BatchFailed,
    Began,
    Begin,
    Failed,
    Finished,
    Made,
    Prepared,
    Progressed,
    RowFailed,
    Start,
    Stopped,
)
from cogmagic._cluster.schedule import Schedule
from cogmagic._cluster.worker import Worker
from cogmagic._errors import ClusterError, CogMagicError, RequestError

__all__ = ["BatchRun"]

_NEWS_SECONDS = 0.2
"""How often a worker is asked for its progress."""


class BatchRun:
    """A batch that is under way.

    Args:
        batch: the kernel's message.
        workers: all of the cluster.
        start: where finished files go.
        send: sends a message to the kernel.
    """

    def __init__(
        self, batch: Begin, workers: list[Worker], start: Start, send: Callable[[object], None]
    ) -> None:
        self.number, self._batch, self._workers, self._send = batch.number, batch, workers, send
        self._schedule = Schedule(batch)
        self._folder = Path(start.folder) / f"batch-{batch.number}"
        self._folder.mkdir(exist_ok=True)
        self._want = batch.left[0]
        self._prepared = self._failed = False
        self._errors: dict[int, CogMagicError] = {}
        """Of the workers that can make none of its rows."""
        self._news: Any = None
        self._asked, self._previews = 0.0, (-1, 0)
        try:
            self._same_host = start.address.local
            files = lora_files(batch.rows, None if self._same_host else ray.put)
        except CogMagicError as error:
            self._fail(error)
            return
        self._rows = ray.put(without_inputs(batch.rows))
        self._files = files

    def want(self, row: int) -> None:
        """The kernel waits for this row."""
        self._want = row
        self._schedule.want(row)

    def dispatch(self) -> None:
        """Give rows to idle workers, and send on the progress of the row that is waited for."""
        if self._failed:
            return
        live = {w.index for w in self._workers if not w.reason_out(self.number)}
        if not live:
            self._fail(self._no_worker())
            return
        for number, error in self._schedule.stuck(live):
            self._send(RowFailed(self.number, number, error))
        for worker in self._workers:
            if worker.index not in live or worker.call is not None:
                continue
            if worker.batch == self.number:
                self._give_row(worker, live)
            elif self._schedule.waits and not self._node_begins(worker):
                self._begin(worker, len(live))
        self._ask_news()

    def take(self, worker: Worker, task: str, row: int, answer: object) -> None:
        """Take a worker's answer."""
        match answer:
            case Began():
                worker.batch, worker.tier = self.number, answer.tier
                if not self._prepared:
                    self._prepared = True
                    self._send(Prepared(self.number))
            case Made():
                worker.deaths, worker.tier = 0, answer.video.report.tier
                self._finish(row, answer)
            case Failed():
                self._take_failure(worker, task, row, answer)
            case Stopped() if row:
                self._schedule.give_back(row)

    def died(self, worker: Worker, row: int, how: str) -> None:
        """A worker's process has died while it was making a row."""
        if error := self._schedule.died(row, worker.index, how):
            self._send(RowFailed(self.number, row, error))

    def end(self) -> None:
        """Remove the finished files that the kernel has not taken."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _take_failure(self, worker: Worker, task: str, row: int, failure: Failed) -> None:
        if failure.kind == "device":
            worker.kill()
            worker.has_died(str(failure.error), node_alive=True)
            if row:
                self.died(worker, row, f"{worker.name}: {failure.error}")
            elif worker.out:
                self._leave_out(worker, failure.error)
        elif task == "begin" and isinstance(failure.error, RequestError):
            self._fail(failure.error)
        elif task == "begin" or failure.kind == "worker":
            self._leave_out(worker, failure.error)
            if row:
                self._schedule.give_back(row)
        elif failure.kind == "misfit":
            self._schedule.refused(row, worker.index, failure.error)
        else:
            self._send(RowFailed(self.number, row, failure.error))

    def _leave_out(self, worker: Worker, error: CogMagicError) -> None:
        worker.out_of_batch = self.number, str(error)
        self._errors[worker.index] = error

    def _node_begins(self, worker: Worker) -> bool:
        """Whether another worker of the host gets the checkpoint: it is downloaded once there."""
        return any(
            w.task == "begin" and w.call is not None
            for w in self._workers
            if w.place.node_id == worker.place.node_id
        )

    def _begin(self, worker: Worker, count: int) -> None:
        batch = self._batch
        left = self._schedule.upcoming_from(self._want, count)
        worker.ask(
            "begin", self.number, self._rows, without_inputs(left), batch.options, self._files,
            batch.previews,
        )  # fmt: skip

    def _give_row(self, worker: Worker, live: set[int]) -> None:
        while (row := self._schedule.next(worker.index, live)) is not None:
            try:
                whole = portable(row, same_host=self._same_host)
            except CogMagicError as error:
                self._send(RowFailed(self.number, row.number, error))
                continue
            left = self._schedule.upcoming_from(row.number, len(live))
            worker.row = row.number
            worker.ask("make", self.number, whole, without_inputs(left))
            return

    def _finish(self, row: int, made: Made) -> None:
        """Write a finished file, and send on where it is."""
        file = self._folder / f"{row}.mp4"
        try:
            file.write_bytes(made.content)
        except OSError as error:
            self._fail(
                ClusterError(f"{self._folder} cannot be written ({error.strerror}). Free space.")
            )
            return
        self._send(Finished(self.number, row, made.video, str(file)))

    def _fail(self, error: CogMagicError) -> None:
        self._failed = True
        self._send(BatchFailed(self.number, error))

    def _no_worker(self) -> CogMagicError:
        """The error of a batch that no worker can make."""
        errors = list(self._errors.values())
        if len(errors) == len(self._workers) and len({str(e) for e in errors}) == 1:
            return errors[0]
        reasons = "; ".join(f"{w.name}: {w.reason_out(self.number)}" for w in self._workers)
        return ClusterError(f"No worker can make this batch ({reasons}).")

    def _ask_news(self) -> None:
        """Send on the progress of the worker that makes the row that the kernel waits for."""
        if self._news is not None and ray.wait([self._news], timeout=0)[0]:
            self._send_news()
        now = time.monotonic()
        if self._news is not None or now - self._asked < _NEWS_SECONDS:
            return
        for worker in self._workers:
            begins = worker.task == "begin" and not self._prepared
            if worker.call is not None and (worker.row == self._want or begins):
                index, previews = self._previews
                seen = previews if index == worker.index else 0
                self._news, self._asked = worker.control("news", seen), now
                self._previews = worker.index, seen
                return

    def _send_news(self) -> None:
        try:
            news = ray.get(self._news)
        except Exception:  # it has died, which its answer shows
            return
        finally:
            self._news = None
        if news.preview is not None:
            self._previews = self._previews[0], news.previews
        if news.row in (0, self._want):
            self._send(Progressed(self.number, news.row, news.progress, news.preview))
