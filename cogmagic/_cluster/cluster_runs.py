"""The runs of a batch's rows on a cluster, in place of those in this kernel's session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from cogmagic._cluster.messages import (
    BatchFailed,
    Begin,
    End,
    Finished,
    Prepared,
    Progressed,
    RowFailed,
    Want,
)
from cogmagic._errors import OutputError, reworded
from cogmagic._models.batch_row import Row
from cogmagic._pipeline.preview import OnPreview
from cogmagic._planning.memory_options import MemoryOptions
from cogmagic._progress import Clock, Progress
from cogmagic._session.session import Session
from cogmagic._video.output_file import OutputFile, check_disk_space
from cogmagic._video.output_path import check_working_directory
from cogmagic._video.video import Video

__all__ = ["ClusterRuns", "Connection"]


class Connection(Protocol):
    """What the runs of a batch need of the cluster."""

    def begin(self, batch: Callable[[int], Begin]) -> None:
        """Begin a batch, which is called with its number, in place of any other."""

    def is_under_way(self, number: int) -> bool:
        """Whether a batch is the one that was begun last, and the cluster is not lost."""

    def tell(self, message: object) -> None:
        """Send a message to the driver."""

    def message(self) -> object | None:
        """The driver's next message about the batch, if it comes soon.

        Raises:
            ClusterError: when the cluster is lost.
        """


class ClusterRuns:
    """The runs of a batch's rows on a cluster: the workers go on while the kernel does other work.

    Args:
        connection: the cluster's.
        session: the kernel's, which is taken while a row is waited for.
        rows: all rows of the batch.
        options: tier, `keep` and the other options about memory.
        on_preview: receives previews.
    """

    def __init__(
        self,
        connection: Connection,
        session: Session,
        rows: Sequence[Row],
        options: MemoryOptions,
        on_preview: OnPreview | None,
    ) -> None:
        self._connection, self._session = connection, session
        self._rows, self._options, self._show = rows, options, on_preview
        self._number = 0
        self._checked = False
        self._finished: dict[int, Finished | RowFailed] = {}
        self._row = 0
        self._reported: Progress | None = None

    @property
    def prepared(self) -> bool:
        """Whether a worker has the checkpoint, and all that holds for every row is checked."""
        return self._checked

    def get_ready(self, row: Row, left: Sequence[Row], clock: Callable[[], Clock]) -> None:
        """Begin the batch on the workers, unless that has been done.

        Args:
            row: the next row.
            left: it and the rows after it.
            clock: makes a clock.

        Raises:
            CogMagicError: when the batch cannot go on.
        """
        if self._number and self._connection.is_under_way(self._number):
            return
        self._session.alone(row.request, lambda: self._begin(left, clock()))

    def made(self, row: Row, path: Path, clock: Clock) -> Video:
        """The new video of a row, in the file `path`; call `get_ready` before.

        Raises:
            CogMagicError: the row's own, or the batch's.
        """
        return self._session.alone(row.request, lambda: self._take(row, path, clock))

    def end(self) -> None:
        """End the batch: workers stop, and leave the weights where `keep` says."""
        if self._number:
            self._connection.tell(End(self._number))
            self._number = 0

    def _begin(self, left: Sequence[Row], clock: Clock) -> None:
        check_working_directory()
        self._finished.clear()
        self._checked = False

        def batch(number: int) -> Begin:
            self._number = number  # before it is sent, so that an interrupt ends it
            return Begin(
                number=number,
                rows=tuple(self._rows),
                left=tuple(r.number for r in left),
                options=self._options,
                previews=self._show is not None,
                cwd=str(Path.cwd()),
            )

        self._connection.begin(batch)
        self._wait(clock, lambda: self._checked)

    def _take(self, row: Row, path: Path, clock: Clock) -> Video:
        self._row = row.number
        self._connection.tell(Want(self._number, row.number))
        self._wait(clock, lambda: row.number in self._finished)
        outcome = self._finished.pop(row.number)
        if isinstance(outcome, RowFailed):
            raise outcome.error
        clock.phase("save")
        source = Path(outcome.file)
        try:
            return self._saved(outcome, source, path, row)
        except OutputError:
            with suppress(OSError):  # the files of a lost cluster have been removed
                content = source.read_bytes()
                self._session.unsaved = replace(outcome.video, path=path, unsaved=content)
            raise
        finally:
            source.unlink(missing_ok=True)
            clock.end()

    def _saved(self, outcome: Finished, source: Path, path: Path, row: Row) -> Video:
        file = OutputFile.claim(path, row.request.seed, overwrite=True)
        try:
            check_disk_space(file, row.request)
            file.copy(source)
            return replace(outcome.video, path=file.commit())
        finally:
            file.drop()

    def _wait(self, clock: Clock, done: Callable[[], bool]) -> None:
        """Follow the driver's messages until `done`.

        Raises:
            CogMagicError: when the batch or the cluster has failed.
            KeyboardInterrupt: when stopped.
        """
        while not done():
            clock.check()
            match self._connection.message():
                case Prepared(number) if number == self._number:
                    self._checked = True
                case (Finished() | RowFailed()) as outcome if outcome.number == self._number:
                    self._finished[outcome.row] = outcome
                case BatchFailed(number, error) if number == self._number:
                    self.end()  # other workers are making rows of it
                    raise reworded(error)
                case Progressed() as news if news.number == self._number:
                    self._report(clock, news)

    def _report(self, clock: Clock, news: Progressed) -> None:
        if news.row not in (0, self._row):
            return
        if news.progress is not None and news.progress != self._reported:
            self._reported = news.progress
            clock.warning = news.progress.warning
            clock.report(news.progress)
        if news.preview is not None and self._show is not None:
            try:
                self._show(news.preview)
            except Exception:  # ends the previews, never the video
                self._show = None
