"""A batch: its texts encoded in chunks, then its rows one by one, the weights placed once."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from cogmagic._errors import (
    BatchError,
    BusyError,
    Cancelled,
    CheckpointError,
    CogMagicError,
    DeviceError,
    OutputError,
    RequestError,
    first_line,
)
from cogmagic._interrupts import interrupts_deferred
from cogmagic._models.batch_row import Row
from cogmagic._models.request import Request
from cogmagic._models.unknown_words import unknown_words
from cogmagic._planning.memory_options import MemoryOptions
from cogmagic._progress import Clock, Progress
from cogmagic._session.batch_texts import BatchTexts
from cogmagic._session.batch_times import BatchTimes
from cogmagic._session.prepare import Job, prepare
from cogmagic._session.session import Output, Session
from cogmagic._video.batch_folder import BatchFolder
from cogmagic._video.formats.mp4 import MP4
from cogmagic._video.output_file import OutputFile, check_disk_space
from cogmagic._video.output_path import check_working_directory
from cogmagic._video.posters import PER_PAGE, sheet_paths, write_sheet
from cogmagic._video.video import Video

__all__ = ["Batch"]

_FATAL = (OutputError, DeviceError, BusyError, CheckpointError)
"""Errors that every further row would raise as well."""

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
    """

    def __init__(
        self,
        session: Session,
        folder: BatchFolder,
        options: MemoryOptions,
        output: Output,
        failed: dict[int, str],
    ) -> None:
        self._session, self._folder, self._options = session, folder, options
        self._output, self._cancels = output, session.cancels
        self._times = BatchTimes(folder.rows)
        self._job: Job | None = None
        self._sheet_changed = False
        self._remark = ""
        """Warning about the adapters, for the first row's report."""
        self._texts = BatchTexts()
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
            self._texts, self._job = BatchTexts(), None
            self._folder.close()
            self._session.settle()
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
            except _FATAL as error:
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
        if self._job is None:
            self._session.alone(row.request, lambda: self._prepare(row))
        assert self._job is not None  # noqa: S101 - by `_prepare`
        if not self._texts.covers(row):
            self._session.alone(row.request, lambda: self._encode(row))
        began = time.monotonic()
        self._times.begin(row)
        try:
            video = self._session.alone(row.request, lambda: self._run(row))
        except (*_FATAL, Cancelled):
            raise
        except Exception as error:  # a row's own, whatever it is
            known = isinstance(error, CogMagicError)
            reason = str(error) if known else f"{type(error).__name__}: {first_line(error)}"
            self._failed[row.number] = reason
            self._folder.add_failure(row, reason)
            return None
        self._times.end(row, time.monotonic() - began)
        self._folder.add(row, video)
        return video

    def _prepare(self, row: Row) -> None:
        """Check what holds for all rows, and download the checkpoint."""
        check_working_directory()
        self._folder.check_disk_space()
        with interrupts_deferred():  # it imports av
            for fps in sorted({row.request.fps for row in self._folder.rows}):
                MP4.check(fps)
        clock, slot = self._clock(row), self._session.slot
        job = prepare(row.request, self._options, clock, slot, self._check_texts)
        self._remark = clock.warning
        self._job = replace(job, show=self._output.on_preview, stay=True)
        clock.end()

    def _check_texts(self, _: Request, folder: Path, clock: Clock) -> None:
        from cogmagic._pipeline.tokenizer import check_length, load_tokenizer

        tokenizer, seen = lru_cache(maxsize=4)(load_tokenizer(folder)), set()  # negative prompts
        for row in self._folder.rows:
            r = row.request
            if (key := (r.prompt, r.negative_prompt, r.truncate)) in seen:
                continue
            seen.add(key)
            clock.check()
            try:
                check_length(r, tokenizer)
            except RequestError as error:
                raise RequestError(f"Row {row.number}: {error}") from None

    def _encode(self, row: Row) -> None:
        """Encode the texts of the rows from `row` on, as many as are held at once."""
        assert self._job is not None  # noqa: S101 - by `_prepare`
        rest = [r for r in self._folder.rows[row.number - 1 :] if not self._folder.has(r)]
        self._texts.encode(rest, self._job, self._session.slot, self._clock(row))

    def _run(self, row: Row) -> Video:
        assert self._job is not None  # noqa: S101 - by `_prepare`
        clock = self._clock(row)
        request = replace(row.complete(), loras=self._job.request.loras)  # downloaded by now
        words, self._remark, remark = unknown_words(request, self._job.folder), "", self._remark
        clock.warning = "; ".join(filter(None, (words, remark)))
        file = OutputFile.claim(self._folder.file(row), request.seed, overwrite=True)
        try:
            check_disk_space(file, request)
            job = self._texts.job_of(replace(self._job, request=request))
            return self._session.make(job, file, clock)
        finally:
            file.drop()

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
            raise BusyError(f"The batch in {self._folder.path} was begun again by a later call.")
        if self._session.cancels != self._cancels:
            raise self._ended(Cancelled("Stopped. The run's memory has been freed."))

    def _ended(self, error: CogMagicError | Cancelled) -> BaseException:
        """The error that ends the batch, with how to make the rest."""
        done = sum(map(self._folder.has, self._folder.rows))
        ended = type(error)(
            f"{error} {done} of {len(self._folder.rows)} videos are finished. The same rows with"
            f" --save {self._folder.path} make the rest."
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
            f" The same rows with --save {self._folder.path} try them again.",
            failed,
        )
