"""The folder of a batch: its rows, and which of them are finished, across kernels.

``batch.json`` has the rows and is written once, before the first video; ``finished.jsonl`` gets a
line for each row that ends.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from cogmagic._errors import OutputError
from cogmagic._files import typed_path, write_atomically
from cogmagic._models.batch_row import Row
from cogmagic._video.batch_list import as_json, check_same, rows_in
from cogmagic._video.finished_rows import FINISHED, append, content, end_line, entries, open_locked
from cogmagic._video.formats.registry import names_file
from cogmagic._video.output_path import check_working_directory, refusal
from cogmagic._video.report import Report
from cogmagic._video.video import Video

__all__ = ["BatchFolder", "default_folder"]

_LIST = "batch.json"

_OPEN: dict[Path, BatchFolder] = {}
"""The folders that this process has open: a batch that is begun again takes over from the first,
whose generator may still be alive in a traceback."""


def default_folder(parent: str | Path = "") -> Path:
    """A new folder's path, ``cogvideo-<time>``, in `parent` or the working directory."""
    base = Path(parent) / f"cogvideo-{time.strftime('%Y%m%d-%H%M%S')}"
    path, number = base, 2
    while os.path.lexists(path):
        path, number = base.with_name(f"{base.name}-{number}"), number + 1
    return path


@dataclass
class BatchFolder:
    """An open batch: its rows with their seeds, and the file that lists the finished ones."""

    path: Path
    rows: tuple[Row, ...]
    """The rows; those whose seeds were drawn have the seeds of the first time."""
    _finished: BinaryIO = field(repr=False)
    """Open and locked while the batch runs."""
    _entries: dict[int, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    """The newest entry of each row that has a whole file."""
    _is_new: bool = field(default=False, repr=False)
    """Whether it was made for this batch."""

    @classmethod
    def open(
        cls, save: str | Path | None, rows: Sequence[Row], options: Mapping[str, Any]
    ) -> BatchFolder:
        """Make the folder for these rows, or resume the batch in it.

        Args:
            save: the folder; None or an empty text for a new one in the working directory.
            rows: the batch.
            options: those that hold for it, recorded in ``batch.json``; the entry ``frames`` must
                be the same when it is resumed.

        Raises:
            OutputError: when the folder cannot be written, or has another batch.
            BusyError: when another kernel runs it.
        """
        path = Path()
        try:
            path = typed_path(default_folder() if save in (None, "") else save)
            if not path.is_absolute():
                check_working_directory()
            _check_folder(save, path, len(rows))
            return cls._open(path.absolute(), tuple(rows), options)
        except OSError as error:
            raise OutputError(refusal(path, error)) from None
        except (RuntimeError, TypeError, ValueError) as error:  # ~nobody, a number, a NUL
            raise OutputError(
                f"--save {str(save)[:100]!r} is not a usable path ({error})."
            ) from None

    @classmethod
    def _open(cls, path: Path, rows: tuple[Row, ...], options: Mapping[str, Any]) -> BatchFolder:
        is_new = not path.exists()
        path.mkdir(parents=True, exist_ok=True)
        if earlier := _OPEN.pop(path.resolve(), None):
            earlier.close()
        finished = open_locked(path)
        try:
            stored = path / _LIST
            if stored.exists():
                rows = check_same(rows_in(stored), rows, options, path)
            else:
                _check_unused(path, rows, finished)
                write_atomically(stored, as_json(rows, options))
            folder = cls(path, rows, finished, _is_new=is_new)
            folder._read()
        except BaseException:
            finished.close()
            raise
        _OPEN[path.resolve()] = folder
        return folder

    @property
    def is_open(self) -> bool:
        """Whether the batch may go on; not after it was begun again in this kernel."""
        return not self._finished.closed

    def close(self) -> None:
        """Let other kernels resume the batch."""
        self._finished.close()
        if _OPEN.get(self.path.resolve()) is self:
            del _OPEN[self.path.resolve()]

    def drop_unused(self) -> None:
        """Remove a list of which no row has ended, so that the folder takes the corrected rows."""
        if any(True for _ in entries(self._finished)):
            return
        self.close()
        with suppress(OSError):
            (self.path / _LIST).unlink()
            (self.path / FINISHED).unlink()
            if self._is_new:
                self.path.rmdir()

    def file(self, row: Row) -> Path:
        """The file of a row's video: ``0012-7.mp4``."""
        return self.path / _name(row, len(self.rows))

    def has(self, row: Row) -> bool:
        """Whether a row is finished."""
        return row.number in self._entries

    def video(self, row: Row) -> Video | None:
        """The finished video of a row; None if it is still to be made."""
        entry = self._entries.get(row.number)
        if entry is None:
            return None
        r, report = row.request, Report.of_facts(entry.get("report", {}))
        width, height = report.cropped or (r.width, r.height)
        return Video(
            path=self.file(row), prompt=r.prompt, model=r.model.name, width=width, height=height,
            num_frames=row.num_frames, fps=r.fps, seed=r.seed, report=report,
        )  # fmt: skip

    def add(self, row: Row, video: Video) -> None:
        """Record a finished row.

        Raises:
            OutputError: when the disk refuses it.
        """
        entry = {"row": row.number, "file": video.path.name, **content(video.path)}
        entry |= {"report": video.report.facts()}
        append(self._finished, self.path, entry)
        self._entries[row.number] = entry

    def add_failure(self, row: Row, reason: str) -> None:
        """Record a failed row, which is tried again when the batch is resumed."""
        append(self._finished, self.path, {"row": row.number, "error": reason})

    def check_disk_space(self) -> None:
        """Check that the disk has space for all unfinished rows, at one bit a pixel.

        Raises:
            OutputError: when it has not.
        """
        rest = [row for row in self.rows if row.number not in self._entries]
        need = sum(r.num_frames * r.request.height * r.request.width // 8 for r in rest)
        free = shutil.disk_usage(self.path).free
        if free < need:
            raise OutputError(
                f"{self.path} has {free / 1e9:.2f} GB free, but the {len(rest)} videos may take"
                f" {need / 1e9:.2f} GB. Free some space, or choose another disk with --save FOLDER."
            )

    def _read(self) -> None:
        """Read the entries, and end a half-written line."""
        newest = {entry["row"]: entry for entry in entries(self._finished)}
        end_line(self._finished)
        by_number = {row.number: row for row in self.rows}
        for number, entry in newest.items():
            row = by_number.get(number)
            if row is not None and self._is_whole(row, entry):
                self._entries[number] = entry

    def _is_whole(self, row: Row, entry: Mapping[str, Any]) -> bool:
        file = self.file(row)
        try:
            if entry.get("file") != file.name or file.stat().st_size != entry.get("bytes"):
                return False  # before it is read
            return entry.items() >= content(file).items()
        except OSError:
            return False


def _check_folder(save: object, path: Path, rows: int) -> None:
    """Refuse the name of a file."""
    if names_file(save):
        raise OutputError(
            f"--save {path.name} is one file, but the batch makes {rows} videos. Give a folder:"
            f" --save {path.stem}/"
        )
    if path.exists() and not path.is_dir():
        raise OutputError(f"--save {path.name} is a file. Give a folder for the batch.")


def _check_unused(path: Path, rows: Sequence[Row], finished: BinaryIO) -> None:
    """Refuse a folder whose list is lost, and one with files that the batch would replace."""
    if any(True for _ in entries(finished)):
        raise OutputError(
            f"{path} has the videos of a batch, but its {_LIST} is missing. Choose another folder"
            " with --save FOLDER."
        )
    names = {file.name for file in path.iterdir()}
    used = next((n for n in (_name(row, len(rows)) for row in rows) if n in names), None)
    if used is not None:
        if not (path / FINISHED).stat().st_size:
            with suppress(OSError):
                (path / FINISHED).unlink()
        raise OutputError(
            f"{path / used} already exists, and belongs to no batch. Choose another folder with"
            " --save FOLDER."
        )


def _name(row: Row, count: int) -> str:
    return f"{row.number:0{max(4, len(str(count)))}}-{row.request.seed}.mp4"
