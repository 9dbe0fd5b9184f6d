"""An actor: a process of the cluster with a session that is planned for its own card."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, TypeVar

import ray

from cogmagic._cluster.failure import failure_of
from cogmagic._cluster.inputs import SentFile, local_files, with_files
from cogmagic._cluster.leftovers import own_folder
from cogmagic._cluster.messages import Began, Failed, Made, News, Started, Stopped
from cogmagic._cluster.tier import tier_for
from cogmagic._machine.machine import Machine
from cogmagic._machine.ram import limit_ram, share_of_ram
from cogmagic._models.batch_row import Row
from cogmagic._planning.memory_options import MemoryOptions
from cogmagic._progress import Clock, Progress
from cogmagic._session.row_runs import RowRuns
from cogmagic._session.session import Session
from cogmagic._units import gib

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Maker", "Place"]

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Place:
    """Where an actor is."""

    node: str
    """The host."""
    node_id: str
    """Ray's name of it."""
    gpus: int
    """1, or 0 on a host without a GPU."""
    shares: int
    """Actors among which the host's memory is divided."""
    threads: int | None
    """CPU threads that it may use; None for those of its environment."""
    cwd: str
    """The kernel's working directory, if it is on the same host; empty for Ray's."""
    memory: int = 0
    """Bytes of host memory that the actor before it had; 0 for a share of what is available."""


class Maker:
    """Makes the rows of batches. Ray runs `news` and `cancel` beside the other methods.

    Args:
        place: where it is.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._session = Session()
        self._folder = own_folder(_session_folder())
        self._runs: RowRuns | None = None
        self._files: Mapping[Path, Path] = {}
        self._stop = Event()
        self._batch = self._ended = 0
        """The batch that was begun last, and the last that has ended."""
        self._row = self._previews = 0
        self._progress: Progress | None = None
        self._preview: np.ndarray[Any, Any] | None = None

    def start(self) -> Started:
        """Import the libraries."""
        from cogmagic._pipeline.libraries import import_libraries

        if self._place.cwd:  # for relative paths in environment variables, such as HF_HOME
            os.chdir(self._place.cwd)
        memory = self._place.memory or share_of_ram(self._place.shares)
        limit_ram(memory)
        import_libraries("t2v")
        gc.freeze()  # each collection would walk the objects of the libraries
        import torch

        if self._place.threads:
            torch.set_num_threads(self._place.threads)
        gpu = Machine.detect_hardware().roomiest
        name = f"{gpu.name} {gib(gpu.total)}" if gpu else "CPU"
        return Started(name, os.getpid(), memory)

    def begin(
        self,
        batch: int,
        rows: Sequence[Row],
        left: Sequence[Row],
        options: MemoryOptions,
        files: Mapping[Path, SentFile],
        previews: bool,
    ) -> Began | Failed | Stopped:
        """Get ready for a batch: its checks, the checkpoint, and the texts of the next rows.

        Args:
            batch: its number.
            rows: all of it, without inputs.
            left: the next rows.
            options: those about memory.
            files: the kernel's files of adapters.
            previews: whether previews are shown.
        """

        def run() -> Began:
            self._finish()
            self._files = local_files(files, Path(self._folder.name), _fetched)
            rows_here = list(map(self._local, rows))
            tier = tier_for(rows_here, options, Machine.detect())
            self._runs = RowRuns(
                self._session, rows_here, options, self._show if previews else None
            )
            next_rows = list(map(self._local, left))
            self._runs.get_ready(next_rows[0], next_rows, self._clock)
            return Began(tier)

        self._batch = batch
        return self._answer(batch, 0, run)

    def make(self, batch: int, row: Row, left: Sequence[Row]) -> Made | Failed | Stopped:
        """Make the video of a row.

        Args:
            batch: its number, after `begin`.
            row: with its inputs in memory.
            left: it and the next rows, without inputs.
        """

        def run() -> Made:
            assert self._runs is not None  # noqa: S101 - by `begin`
            here = self._local(row)
            self._runs.get_ready(here, list(map(self._local, left)), self._clock)
            path = Path(self._folder.name) / f"{row.number}.mp4"
            try:
                video = self._runs.made(here, path, self._clock())
                return Made(video, path.read_bytes())
            finally:
                path.unlink(missing_ok=True)

        return self._answer(batch, row.number, run)

    def settle(self) -> int:
        """Leave the weights where `keep` says; returns the bytes that stay, in RAM and VRAM."""
        self._finish()
        slot = self._session.slot
        in_ram = slot.loaded.nbytes if slot.loaded else 0
        return in_ram + sum(slot.weights_on_gpus().values())

    def release(self) -> int:
        """Release the weights; returns the bytes that stay."""
        from cogmagic._machine.allocator import empty_cache

        self._finish()
        self._session.release()
        with suppress(RuntimeError):  # a lost GPU raises on every call
            empty_cache()
        return 0

    def news(self, previews: int) -> News:
        """What it is doing now.

        Args:
            previews: how many previews the caller has had.
        """
        preview = self._preview if self._previews > previews else None
        return News(self._row, self._progress, preview, self._previews)

    def cancel(self, batch: int) -> None:
        """End a batch: what is running for it stops at its next block."""
        self._ended = max(self._ended, batch)
        if self._batch <= batch:
            self._stop.set()

    def _answer(self, batch: int, row: int, run: Callable[[], Answer]) -> Answer | Failed | Stopped:
        self._row, self._progress, self._preview = row, None, None
        self._stop.clear()
        if self._ended >= batch:
            return Stopped()
        try:
            return run()
        except KeyboardInterrupt:
            return Stopped()
        except Exception as error:
            return failure_of(error)
        finally:
            self._row = 0

    def _finish(self) -> None:
        if self._runs is not None:
            self._runs.end()
            self._runs = None

    def _local(self, row: Row) -> Row:
        return with_files(row, self._files)

    def _clock(self) -> Clock:
        def receive(progress: Progress) -> None:
            self._progress = progress

        return Clock(receive, self._stop.is_set)

    def _show(self, pixels: np.ndarray[Any, Any]) -> None:
        self._preview = pixels
        self._previews += 1


def _session_folder() -> Path:
    """The folder of Ray's own files on this host."""
    from ray._private import worker

    node = worker._global_node
    return Path(node.get_session_dir_path() if node else tempfile.gettempdir())


for _method in (Maker.news, Maker.cancel):
    ray.method(concurrency_group="control")(_method)


def _fetched(reference: Any) -> bytes:
    return bytes(ray.get(reference))
