"""A worker: a process that makes one rank's share of videos, as long as the kernel's pipe is open.

Started as ``python -P -m cogmagic._session.parallel.worker FD``.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

from cogmagic._machine.allocator import empty_cache, use_expandable_segments
from cogmagic._machine.failures import drop_tracebacks
from cogmagic._pipeline.compile import compiled_code
from cogmagic._pipeline.parallel.group import joined
from cogmagic._progress import Clock
from cogmagic._session.parallel.failures import Failed
from cogmagic._session.parallel.link import Link
from cogmagic._session.parallel.messages import (
    Alive,
    Done,
    Embedded,
    Encode,
    Join,
    Make,
    Previewed,
    Ready,
    Settle,
    Start,
    Stop,
    Stopped,
    Use,
)
from cogmagic._session.parallel.rank_clock import RankClock
from cogmagic._session.pipeline_slot import PipelineSlot
from cogmagic._session.run import Run
from cogmagic._video.report import Report

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1


def main(pipe: int) -> None:
    """Serve the kernel at the other end of the inherited `pipe`, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    link = Link(Connection(pipe))
    start = link.receive()
    _end_with_parent(start)
    Worker(link, start).serve()


def _end_with_parent(start: Start) -> None:
    """Have this process end when the kernel does, also while it holds Python's lock."""
    if sys.platform == "linux" and start.killed_with_parent:
        from ctypes import CDLL

        CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != start.parent:  # it has ended before
        os._exit(1)


class Worker:
    """One rank, and the pipeline that it holds between runs."""

    def __init__(self, link: Link, start: Start) -> None:
        self._link, self._start = link, start
        self._stop, self._ready = Event(), Event()
        self._tasks: SimpleQueue[object] = SimpleQueue()
        self._slot = PipelineSlot()
        self._store: Any = None
        self._rank: Any = None
        self._joined = ExitStack()

    def serve(self) -> None:
        """Carry out messages until the pipe closes."""
        for thread in (self._read, self._watch):
            Thread(target=thread, daemon=True).start()
        self._answer(self._import)
        self._ready.set()
        while True:
            self._answer(lambda: self._carry_out(self._tasks.get()))

    def _read(self) -> None:
        """Read messages; without a kernel, end at once, whatever the main thread does."""
        with suppress(EOFError, OSError):
            while True:
                message = self._link.receive()
                if isinstance(message, Stop):
                    self._stop.set()
                else:
                    self._stop.clear()
                    self._tasks.put(message)
        os._exit(0)

    def _watch(self) -> None:
        """Send signs of life until ready; end with the kernel even if others hold its pipe open."""
        while os.getppid() == self._start.parent:
            if not self._ready.is_set():
                with suppress(OSError):
                    self._link.send(Alive())
            time.sleep(1)
        os._exit(0)

    def _answer(self, act: Callable[[], object]) -> None:
        """Send the outcome of `act`; after a failure nothing is on the GPU."""
        try:
            self._link.send(act())
            return
        except KeyboardInterrupt as interrupt:
            failure: BaseException = interrupt
        except Exception as error:
            failure = error
            if not self._stop.is_set():  # else another rank has stopped before this one
                self._link.send(Failed.of(error))  # at once: the others may wait for this rank
        drop_tracebacks(failure)
        self._leave()  # where the ranks are in their exchanges is unknown
        self._slot.cool()
        with suppress(RuntimeError):  # a lost GPU refuses every call
            empty_cache()
        if isinstance(failure, KeyboardInterrupt) or self._stop.is_set():
            self._link.send(Stopped(self._done()))

    def _import(self) -> Ready:
        from cogmagic._pipeline.libraries import import_libraries

        import_libraries("t2v")
        gc.freeze()  # each collection would walk the objects of the libraries
        import torch

        if self._start.device == "cuda":
            use_expandable_segments()
            torch.cuda.set_device(self._start.gpu)
        return Ready()

    def _carry_out(self, task: object) -> object:
        match task:
            case Use():
                for name in [n for n in os.environ if n.startswith("COGMAGIC_")]:
                    os.environ.pop(name)
                os.environ.update(task.environ)
                with suppress(OSError):
                    os.chdir(task.folder)
                return Ready()
            case Join():
                self._join(task)
                return Ready()
            case Make():
                return self._make(task)
            case Encode():
                return self._encode(task)
            case Settle():
                self._slot.cool() if task.cool else self._slot.settle()
                return self._done()
        raise TypeError(f"no message to a worker: {task!r:.80}")

    def _join(self, task: Join) -> None:
        """Connect with the other ranks through a store that rank 0 keeps."""
        import torch
        from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

        start = self._start
        self._leave()
        if self._store is None:
            self._store = TCPStore(
                "127.0.0.1",
                start.port,
                is_master=start.listener is not None,
                master_listen_fd=start.listener,
                wait_for_workers=False,
            )
        cuda = start.device == "cuda"
        device = torch.device("cuda", start.gpu) if cuda else torch.device("cpu")
        store = PrefixStore(str(task.number), self._store)
        self._rank = self._joined.enter_context(joined(start.index, task.split, store, device))

    def _leave(self) -> None:
        self._rank = None
        with suppress(RuntimeError):  # the others may be gone
            self._joined.close()

    def _make(self, task: Make) -> Done:
        first = self._start.index == 0
        show = (lambda pixels: self._link.send(Previewed(pixels))) if task.previews else None
        job = replace(task.job, show=show if first else None)
        run = self._run(replace(task, job=job), RankClock(self._link, self._stop, first=first))
        run.clock.warning = task.warning
        frames, report = run.frames(self._slot.hot)
        self._slot.plan = task.plan
        if not task.job.stay:
            self._slot.keep(task.plan)
        return self._done(frames if first else None, report)

    def _encode(self, task: Encode) -> Done:
        def receive(text: str, embeds: Any) -> None:
            self._link.send(Embedded(text, embeds))

        run = self._run(task, RankClock(self._link, self._stop, first=True))
        run.encode(task.texts, receive, self._slot.hot)
        if self._slot.loaded and self._slot.loaded.weights != "gpus":
            self._slot.hot.cool()
        return self._done()

    def _run(self, task: Make | Encode, clock: Clock) -> Run:
        from cogmagic._pipeline.libraries import import_libraries

        job, plan, machine = task.job, task.plan, task.machine
        import_libraries(job.request.model.task)
        loaded = self._slot.load(job.request.model, job.folder, plan, machine, clock.check)
        return Run(job, machine, plan, loaded, clock, self._rank)

    def _done(self, frames: Any = None, report: Report | None = None) -> Done:
        import torch

        loaded, on_gpu = self._slot.loaded, self._start.device == "cuda"
        return Done(
            frames,
            report,
            weights=loaded.nbytes + loaded.adapter_bytes if loaded else 0,
            hot=sum(self._slot.weights_on_gpus().values()),
            reserved=torch.cuda.memory_reserved(self._start.gpu) if on_gpu else 0,
            code=compiled_code(),
        )


if __name__ == "__main__":
    main(int(sys.argv[1]))
