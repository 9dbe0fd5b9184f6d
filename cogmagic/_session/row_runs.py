"""The runs of a batch's rows in one session: prepared once, their texts encoded in chunks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from cogmagic._errors import (
    BusyError,
    CheckpointError,
    ClusterError,
    DeviceError,
    OutputError,
    RequestError,
)
from cogmagic._interrupts import interrupts_deferred
from cogmagic._models.batch_row import Row
from cogmagic._models.prompt_warnings import prompt_warnings
from cogmagic._models.request import Request
from cogmagic._pipeline.preview import OnPreview
from cogmagic._planning.memory_options import MemoryOptions
from cogmagic._progress import Clock
from cogmagic._session.batch_texts import BatchTexts
from cogmagic._session.prepare import Job, prepare
from cogmagic._session.session import Session
from cogmagic._video.extension import with_first_frame
from cogmagic._video.formats.mp4 import MP4
from cogmagic._video.output_file import OutputFile, check_disk_space
from cogmagic._video.output_path import check_working_directory
from cogmagic._video.request_inputs import inputs_read
from cogmagic._video.video import Video

__all__ = ["FATAL", "RowRuns", "Runs"]

FATAL = (OutputError, DeviceError, BusyError, CheckpointError, ClusterError)
"""Errors that every further row would raise as well."""


class Runs(Protocol):
    """The runs of a batch's rows, wherever they are made."""

    @property
    def prepared(self) -> bool:
        """Whether all that holds for every row is checked."""

    def get_ready(self, row: Row, left: Sequence[Row], clock: Callable[[], Clock]) -> None:
        """Prepare the batch for a row, unless that has been done."""

    def made(self, row: Row, path: Path, clock: Clock) -> Video:
        """The new video of a row, in the file `path`; call `get_ready` before."""

    def end(self) -> None:
        """Leave the weights where `keep` says."""


class RowRuns:
    """The runs of a batch's rows: the weights stay placed from one to the next.

    The session is taken for one row at a time.

    Args:
        session: runs them.
        rows: all rows of the batch, whose prompts are checked before the first runs.
        options: tier, `keep` and the other options about memory.
        on_preview: receives previews.
    """

    def __init__(
        self,
        session: Session,
        rows: Sequence[Row],
        options: MemoryOptions,
        on_preview: OnPreview | None,
    ) -> None:
        self._session, self._rows, self._options = session, rows, options
        self._on_preview = on_preview
        self._job: Job | None = None
        self._remark = ""
        """Warning about the adapters, for the first row's report."""
        self._texts = BatchTexts()

    @property
    def prepared(self) -> bool:
        """Whether the checkpoint is on this machine and all that holds for every row is checked."""
        return self._job is not None

    def get_ready(self, row: Row, left: Sequence[Row], clock: Callable[[], Clock]) -> None:
        """Prepare the batch, and encode the row's texts, unless that has been done.

        Args:
            row: the next row.
            left: it and the rows after it, whose texts are encoded with its own, as many as may
                be held at once.
            clock: makes the clock of each.

        Raises:
            CogMagicError: when the batch cannot go on.
        """
        if self._job is None:
            self._session.alone(row.request, lambda: self._prepare(row, clock()))
        job = self._prepared()
        if not self._texts.covers(row):
            slot = self._session.slot
            self._session.alone(row.request, lambda: self._texts.encode(left, job, slot, clock()))

    def made(self, row: Row, path: Path, clock: Clock) -> Video:
        """The new video of a row, in the file `path`; call `get_ready` before."""
        return self._session.alone(row.request, lambda: self._run(row, path, clock))

    def end(self) -> None:
        """Drop the embeddings, and leave the weights where `keep` says."""
        self._texts, self._job = BatchTexts(), None
        self._session.settle()

    def _prepared(self) -> Job:
        assert self._job is not None  # noqa: S101 - by `get_ready`
        return self._job

    def _prepare(self, row: Row, clock: Clock) -> None:
        """Check what holds for all rows, and download the checkpoint."""
        check_working_directory()
        with interrupts_deferred():  # it imports av
            for fps in sorted({row.request.fps for row in self._rows}):
                MP4.check(fps)
        with_first_frame(row.complete())  # whose end may be damaged
        slot = self._session.slot
        job = prepare(row.request, self._options, clock, slot, self._check_texts, reads=False)
        self._remark = clock.warning
        self._job = replace(job, show=self._on_preview, stay=True)
        clock.end()

    def _check_texts(self, _: Request, folder: Path, clock: Clock) -> None:
        from cogmagic._pipeline.tokenizer import check_length, load_tokenizer

        tokenizer, seen = lru_cache(maxsize=4)(load_tokenizer(folder)), set()  # negative prompts
        for row in self._rows:
            r = row.request
            if (key := (r.prompt, r.negative_prompt, r.truncate)) in seen:
                continue
            seen.add(key)
            clock.check()
            try:
                check_length(r, tokenizer)
            except RequestError as error:
                raise RequestError(f"Row {row.number}: {error}") from None

    def _run(self, row: Row, path: Path, clock: Clock) -> Video:
        job = self._prepared()
        request = replace(row.complete(), loras=job.request.loras)  # downloaded by now
        request, clip, mask, earlier = inputs_read(request, clock.check)
        warning, remark, self._remark = prompt_warnings(request, job.folder), self._remark, ""
        clock.warning = "; ".join(filter(None, (warning, remark)))
        file = OutputFile.claim(path, request.seed, overwrite=True)
        try:
            check_disk_space(file, request, row.num_frames)
            job = replace(job, request=request, clip=clip, mask=mask, earlier=earlier)
            return self._session.make(self._texts.job_of(job), file, clock)
        finally:
            file.drop()
