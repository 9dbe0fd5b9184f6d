"""The connection of a kernel with a cluster, through the driver, its child process."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread

from cogmagic._cluster.address import Address
from cogmagic._cluster.cluster_runs import ClusterRuns
from cogmagic._cluster.leftovers import remove_folder
from cogmagic._cluster.messages import Actor, Begin, Connected, Free, Lost, Refused, Start, State
from cogmagic._cluster.ray_settings import ray_environ, short_temporary
from cogmagic._errors import ClusterError, RequestError, error_line
from cogmagic._interrupts import interrupts_ignored
from cogmagic._models.batch_row import Row
from cogmagic._pipeline.preview import OnPreview
from cogmagic._planning.memory_options import MemoryOptions
from cogmagic._session.parallel.child_process import ChildProcess
from cogmagic._session.session import session
from cogmagic._units import gib

__all__ = ["Cluster"]

_DRIVER = "cogmagic._cluster.driver"

_CONNECT_SECONDS = 900.0
"""How long a cluster and its actors may take to start."""

_END_SECONDS = 8.0
"""How long the driver may take to end before it is killed."""

_RELEASE_SECONDS = 60.0
"""How long workers may take to release their weights before the kernel goes on."""

_MESSAGE_SECONDS = 0.05


class Cluster:
    """The connection of this kernel with a cluster.

    Args:
        address: the cluster's.

    Raises:
        ClusterError: when it cannot be used.
    """

    def __init__(self, address: Address) -> None:
        self.where = str(address)
        """The address, as in ``local`` or ``ray://head:10001``."""
        self.actors: tuple[Actor, ...] = ()
        self._address, self._owner = address, os.getpid()
        self._connected = False
        self._batch = 0
        self._lost = ""
        """Why it can be used no more, a clause; empty if it can."""
        self._inbox: SimpleQueue[object] = SimpleQueue()
        self._folder = Path(tempfile.mkdtemp(prefix="cogmagic-ray-", dir=short_temporary()))
        atexit.register(self.end)
        try:
            start = Start(os.getpid(), address, str(self._folder))
            self._driver = ChildProcess("the driver", _DRIVER, start, ray_environ(address))
            Thread(target=self._read, daemon=True).start()
            self._await_connection()
        except BaseException:
            self.end()
            raise

    def lines(self) -> str:
        """The cluster and its actors, one a line."""
        working = sum(not a.out for a in self.actors)
        first = f"cluster {self.where}: {working} of {len(self.actors)} workers"
        if self._lost:
            first = f"cluster {self.where}: lost ({self._lost})"
        return "\n".join([first, *map(_line, self.actors)])

    def row_runs(
        self, rows: Sequence[Row], options: MemoryOptions, on_preview: OnPreview | None
    ) -> ClusterRuns:
        """The runs of a batch's rows on this cluster, as `RowRuns` has them for one session."""
        return ClusterRuns(self, session(), rows, options, on_preview)

    def check(self, options: MemoryOptions) -> None:
        """Check that a batch may run on it.

        Raises:
            ClusterError: when the cluster is lost.
            RequestError: for options that choose GPUs of this machine.
        """
        self._check_alive()
        for option, chosen in (("parallel", options.parallel != 1), ("gpus", bool(options.gpus))):
            if chosen:
                value = options.parallel if option == "parallel" else ",".join(options.gpus)
                raise RequestError(
                    f"--{option} {value} is for this kernel's GPUs, but on the cluster {self.where}"
                    f" each GPU makes videos of its own. Leave out --{option}, or type %cogvideo"
                    " cluster off first."
                )

    def begin(self, batch: Callable[[int], Begin]) -> None:
        """Begin a batch, which is called with its number, in place of any other.

        Raises:
            ClusterError: when the cluster is lost.
        """
        self._check_alive()
        self._batch += 1
        while True:
            with suppress(Empty):
                self._inbox.get_nowait()
                continue
            break
        self.tell(batch(self._batch))

    def is_under_way(self, number: int) -> bool:
        """Whether a batch is the one that was begun last, and the cluster is not lost."""
        return number == self._batch and not self._lost

    def tell(self, message: object) -> None:
        """Send a message to the driver."""
        self._driver.tell(message)

    def message(self) -> object | None:
        """The driver's next message about the batch, if it comes soon.

        Raises:
            ClusterError: when the cluster is lost.
        """
        try:
            return self._inbox.get(timeout=_MESSAGE_SECONDS)
        except Empty:
            self._check_alive()
            return None

    def release(self) -> int:
        """Have the workers release their weights between batches; returns the bytes they held.

        Raises:
            ClusterError: when the cluster is lost.
        """
        self._check_alive()
        held, until = self.held, time.monotonic() + _RELEASE_SECONDS
        self.tell(Free())
        while self.held and time.monotonic() < until:
            time.sleep(_MESSAGE_SECONDS)
        return held - self.held

    @property
    def held(self) -> int:
        """Bytes of weights that its workers hold, in RAM and VRAM."""
        return sum(actor.held for actor in self.actors)

    def end(self) -> None:
        """End the driver, and all processes of a local cluster."""
        if os.getpid() != self._owner:  # a fork of the kernel that ends
            return
        atexit.unregister(self.end)
        self._lost = self._lost or "this kernel has ended the connection"
        with interrupts_ignored():
            driver = getattr(self, "_driver", None)
            if driver is not None:
                _end(driver)
            remove_folder(self._folder) if self._address.local else shutil.rmtree(
                self._folder, ignore_errors=True
            )

    def _read(self) -> None:
        """Read the driver's messages until it ends."""
        try:
            while True:
                match self._driver.link.receive():
                    case State(actors):
                        self.actors = actors
                    case Lost(reason):
                        self._lost = self._lost or reason
                    case message:
                        self._inbox.put(message)
        except (EOFError, OSError):
            if not self._lost:
                self._lost = str(self._driver.lost())
        except Exception as error:  # without this thread, a batch would wait for ever
            self._lost = self._lost or error_line(error)

    def _await_connection(self) -> None:
        until = time.monotonic() + _CONNECT_SECONDS
        while True:
            match self.message():
                case Connected():
                    self._connected = True
                    return
                case Refused(error):
                    raise error
            if time.monotonic() > until:
                raise ClusterError(
                    f"The cluster {self.where} has not started its workers within"
                    f" {_CONNECT_SECONDS:.0f} s. Try again when its hosts are less busy."
                )

    def _check_alive(self) -> None:
        if not self._lost:
            return
        if not self._connected:
            raise ClusterError(f"The cluster {self.where} did not start: {self._lost}.")
        raise ClusterError(
            f"The cluster {self.where} is lost: {self._lost}. Connect again with %cogvideo cluster"
            f" {self.where}, or continue in this kernel alone with %cogvideo cluster off."
        )


def _end(driver: ChildProcess) -> None:
    """Have the driver end by itself, as it does without the pipe; else kill it."""
    with suppress(OSError):
        driver.link.close()
    until = time.monotonic() + _END_SECONDS
    while driver.alive and time.monotonic() < until:
        time.sleep(0.02)
    driver.kill()
    driver.close()


def _line(actor: Actor) -> str:
    doing = f"row {actor.row}" if actor.row else "idle"
    if actor.out:
        doing = f"left out: {actor.out}"
    tier = f" · tier {actor.tier}" if actor.tier else ""
    held = f" · holds {gib(actor.held)}" if actor.held else ""
    return f"  {actor.node} · {actor.device or 'starts'}{tier} · {doing}{held}"
