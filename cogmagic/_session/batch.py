"""A batch: its texts encoded in chunks, then its rows one by one, the weights placed once."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import replace
from functools import partial

from cogmagic._errors import (
    BatchError,
    BusyError,
    Cancelled,
    CogMagicError,
    RequestError,
    reason_of,
    reworded,
)
from cogmagic._models.batch_row import Row
from cogmagic._planning.memory_options import MemoryOptions
from cogmagic._progress import Clock, Progress
from cogmagic._session.batch_masks import check_masks
from cogmagic._session.batch_times import BatchTimes
from cogmagic._session.row_runs import FATAL, RowRuns, Runs
from cogmagic._session.session import Output, Session
from cogmagic._video.batch_folder import BatchFolder
from cogmagic._video.posters import PER_PAGE, sheet_paths, write_sheet
from cogmagic._video.video import Video

__all__ = ["Batch"]

_MOST_NAMED = 3
"""Most failed rows that an error quotes."""


class Batch:
    """The run of a batch, which makes what its folder lacks.

    The session is taken for one row at a time, so a batch that is abandoned blocks nothing.

    Args:
        session: the kernel's.
        folder: the batch.
        options: tier, `keep` and the other options about memory.
        output: where progress and previews go.
        failed: receives the error of each failed row, by the row's number.
        runs: those on a cluster; None for those in the session.
    """

    def __init__(
        self,
        session: Session,
        folder: BatchFolder,
        options: MemoryOptions,
        output: Output,
        failed: dict[int, str],
        runs: Runs | None = None,
    ) -> None:
        self._session, self._folder, self._options = session, folder, options
        self._output, self._cancels = output, session.cancels
        self._times = BatchTimes(folder.rows, at_once=runs is not None)
        self._sheet_changed = False
        here = RowRuns(session, folder.rows, options, output.on_preview)
        self._runs = here if runs is None else runs
        self._failed = failed

    def videos(self) -> Generator[Video]:
        """The videos in the order of the rows; those of an earlier run are not made again.

        Raises:
            BatchError: after the last row, when some failed.
            CogMagicError: when the batch cannot go on.
            Cancelled: when interrupted.
        """
        try:
            yield from self._videos()
        finally:
            self._folder.close()
            self._runs.end()
        if self._failed:
            raise self._error()

    def _videos(self) -> Generator[Video]:
        for row in self._folder.rows:
            video = self._folder.video(row)
            if video is None:
                self._check_open()
            try:
                if video is None:
                    video = self._made(row)
                    self._sheet_changed = True
                self._write_sheet(row)
            except FATAL as error:
                raise self._ended(error) from None
            except KeyboardInterrupt as error:  # also between two runs
                raise self._ended(Cancelled(str(error) or "Stopped.")) from None
            if video is not None:
                yield video

    def _write_sheet(self, row: Row) -> None:
        """Write the contact sheet that ends with `row`, if it has changed."""
        rows, folder = self._folder.rows, self._folder
        if row.number % PER_PAGE and row.number != len(rows):
            return
        page = (row.number - 1) // PER_PAGE
        path = sheet_paths(folder.path, len(rows))[page]
        if self._sheet_changed or not path.exists():
            shown = rows[page * PER_PAGE : row.number]
            entries = [(folder.file(r).stem, folder.video(r)) for r in shown]
            with suppress(OSError):  # the batch does not depend on it
                write_sheet(path, entries)
        self._sheet_changed = False

    def _made(self, row: Row) -> Video | None:
        """The new video of a row; None if it failed."""
        try:
            row = self._with_clip(row)
        except RequestError as error:
            self._fail(row, str(error))
            return None
        runs, clock = self._runs, partial(self._clock, row)
        self._get_ready(row, clock)
        began = time.monotonic()
        self._times.begin(row)
        try:
            video = runs.made(row, self._folder.file(row), clock())
        except (*FATAL, Cancelled):
            raise
        except Exception as error:  # a row's own, whatever it is
            self._fail(row, reason_of(error))
            return None
        self._times.end(row, time.monotonic() - began)
        self._folder.add(row, video)
        return video

    def _get_ready(self, row: Row, clock: Callable[[], Clock]) -> None:
        """Check what can be checked before the first row, and prepare the batch for this one.

        Raises:
            RequestError: for a wrong row, with its number; then the folder takes other rows, unless
                some of these have ended.
        """
        left = self._left(row)
        try:
            if not self._runs.prepared:
                self._folder.check_disk_space()
                self._session.alone(row.request, lambda: check_masks(left, clock()))
            self._runs.get_ready(row, left, clock)
        except RequestError:
            self._folder.drop_unused()
            raise

    def _with_clip(self, row: Row) -> Row:
        """The row with the video of the row that it extends, if any.

        Raises:
            RequestError: when there is none.
        """
        chain = [row]
        while chain[-1].after:
            before = self._folder.rows[chain[-1].after - 1]
            if not self._folder.has(before):
                raise RequestError(f"row {before.number}, whose video it extends, failed")
            chain.append(before)
        row = chain.pop()
        while chain:
            row = chain.pop().extending(row, self._folder.file(row))
        return row

    def _fail(self, row: Row, reason: str) -> None:
        self._failed[row.number] = reason
        self._folder.add_failure(row, reason)

    def _left(self, row: Row) -> list[Row]:
        """The unfinished rows from `row` on."""
        return [r for r in self._folder.rows[row.number - 1 :] if not self._folder.has(r)]

    def _clock(self, row: Row) -> Clock:
        """A clock whose progress is that of the whole batch."""
        rows, times = len(self._folder.rows), self._times

        def report(progress: Progress) -> None:
            left = times.left()
            self._output.on_progress(
                replace(progress, row=row.number, rows=rows, batch_seconds_left=left)
            )

        return self._session.clock(report)

    def _check_open(self) -> None:
        if not self._folder.is_open:
            raise BusyError(f"The batch in {self._folder.path} was restarted by a later call.")
        if self._session.cancels != self._cancels:
            raise self._ended(Cancelled("Stopped. The run's memory has been freed."))

    def _ended(self, error: CogMagicError | Cancelled) -> BaseException:
        """The error that ends the batch, with how to make the rest."""
        done = sum(map(self._folder.has, self._folder.rows))
        ended = reworded(
            error,
            f"{error} {done} of {len(self._folder.rows)} videos are finished. Run the same rows"
            f" with --save {self._folder.path} to make the rest.",
        )
        for note in getattr(error, "__notes__", ()):
            ended.add_note(note)
        return ended

    def _error(self) -> BatchError:
        rows, failed = len(self._folder.rows), self._failed
        named = "; ".join(f"row {n}: {e}" for n, e in list(failed.items())[:_MOST_NAMED])
        more = len(failed) - _MOST_NAMED
        return BatchError(
            f"{len(failed)} of {rows} rows failed ({named}{f'; and {more} more' * (more > 0)})."
            f" Run the same rows with --save {self._folder.path} to try them again.",
            failed,
        )
