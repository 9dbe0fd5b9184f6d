"""`generate_many`: the rows of a table become videos, one after the other."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from cogmagic._api.batch.plan_many import check_plans
from cogmagic._api.batch.rows import BatchSource, rows_of, source_of
from cogmagic._api.batch.worker_words import rows_at_work, workers_used
from cogmagic._cluster.cluster import current
from cogmagic._errors import Cancelled, RequestError, plain_line
from cogmagic._html import in_notebook
from cogmagic._models.batch_row import Row
from cogmagic._pipeline.preview import OnPreview
from cogmagic._planning.memory_options import MemoryOptions
from cogmagic._progress import OnProgress, silent
from cogmagic._session.batch import Batch
from cogmagic._session.session import Output, session
from cogmagic._spelling import errors_for_python
from cogmagic._units import duration
from cogmagic._video.batch_folder import BatchFolder
from cogmagic._video.formats.registry import names_file
from cogmagic._video.output_path import check_working_directory
from cogmagic._video.video import Video

__all__ = ["Started", "generate_many", "start"]


@errors_for_python()
def generate_many(
    rows: Any,
    *,
    model: str | None = None,
    seeds: Any = None,
    num_videos: int | None = None,
    save: str | Path | None = None,
    progress: bool = True,
    on_progress: OnProgress | None = None,
    on_preview: OnPreview | None = None,
    **options: Any,
) -> Iterator[Video]:
    """Make a video of each row; yields them in order, as they finish.

    The weights are placed once, and all texts are encoded first. This call raises the error of the
    first wrong row, before anything is loaded. The videos are in one folder, with a list of the
    rows: a call with the same rows and the same folder makes only those that are missing, after an
    error, an interrupt, or the end of the process.

    Args:
        rows: prompts, dicts of options with a ``prompt``, or requests; a DataFrame; or the path of
            a ``.csv``, ``.jsonl`` or ``.txt`` file.
        model: short name, hub id or folder; by default that of the requests, or the embedded one.
        seeds: the seeds of every row: a video for each.
        num_videos: videos of each row, their seeds counted up from the row's.
        save: the folder, made if it does not exist; default ``cogvideo-<time>``. One row may name
            its file instead: ``fox.gif``.
        progress: whether to show a live line.
        on_progress: called with a `Progress` at every step, in place of the live line; it has the
            row and the time left for all.
        on_preview: as `generate` takes it.
        **options: the options of `generate` for all rows; a row's own take precedence.

    Raises:
        RequestError: for the first wrong row, with its number.
        TierError: when a row does not fit.
        OutputError: when the folder has another batch, or the disk is full; ends the batch.
        BatchError: after the last row, for rows that failed.
        Cancelled: when interrupted; finished videos stay.
    """
    if isinstance(rows, str) and not Path(rows).suffix:
        text = rows[:60]
        raise RequestError(f"rows={text!r} is one text. Give a list of prompts: [{text!r}].")
    if rows is None:
        raise RequestError('rows is None. Give a list of prompts: ["a red circle"].')
    if "prompts" in options:
        raise RequestError(
            "The prompts are the first argument of generate_many. Leave out prompts=."
        )
    several = {"prompts": rows, "model": model, "seeds": seeds, "num_videos": num_videos}
    source, memory = source_of(options | several)
    started = start(source, memory, save)
    output = Output(save, on_progress=on_progress or silent, on_preview=on_preview)
    return _videos_for_python(started.videos(output, live=progress and on_progress is None))


def _videos_for_python(videos: Generator[Video]) -> Generator[Video]:
    with errors_for_python(), closing(videos):
        yield from videos


@dataclass(frozen=True)
class Started:
    """A checked batch with its folder; nothing is loaded yet."""

    checked: tuple[Row, ...]
    """The rows; of a resumed batch, without the seeds that were drawn first."""
    memory: MemoryOptions
    folder: BatchFolder | None
    """None for one row whose file was named."""
    overwrite: bool = False
    """Whether that file may be replaced."""
    failed: dict[int, str] = field(default_factory=dict)
    """The errors of rows that failed, by their numbers."""

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows, with the seeds that are used."""
        return self.folder.rows if self.folder else self.checked

    def videos(self, output: Output, *, live: bool) -> Generator[Video]:
        """The videos as they finish; see `generate_many`.

        Args:
            output: where progress and previews go, and the one video whose file was named.
            live: whether to show the progress as a live line instead.
        """
        if not live:
            yield from self._videos(output)
            return
        from cogmagic._api.displays import CellDisplay, TerminalDisplay
        from cogmagic._api.live_line import LiveLine

        began, count, by = time.monotonic(), 0, ""
        cluster = current() if self.folder else None
        tail = (lambda: rows_at_work(cluster.actors)) if cluster else None
        with LiveLine(CellDisplay() if in_notebook() else TerminalDisplay(), tail) as line:
            with closing(self._videos(replace(output, on_progress=line))) as videos:
                for video in videos:
                    line.pause()
                    count += 1
                    # A cluster forgets the workers that are left out when the batch ends.
                    if cluster and (used := workers_used(cluster.actors)):
                        by = f" by {used}"
                    yield video
            where = f" · {plain_line(str(self.folder.path))}" if self.folder else ""
            took = duration(time.monotonic() - began, decimals=1)
            line.finish(f"{count} of {len(self.rows)} videos in {took}{by}{where}")

    def _videos(self, output: Output) -> Generator[Video]:
        if self.folder is None:
            output = replace(output, overwrite=self.overwrite)
            yield session().generate(self.rows[0].complete(), self.memory, output)
            return
        runs = None
        if (cluster := current()) is not None:
            runs = cluster.row_runs(self.folder.rows, self.memory, output.on_preview)
        batch = Batch(session(), self.folder, self.memory, output, self.failed, runs)
        with closing(batch.videos()) as videos:
            yield from videos


def start(source: BatchSource, memory: MemoryOptions, save: str | Path | None) -> Started:
    """Check every row, and make the batch's folder or find it.

    Raises:
        RequestError: for the first wrong row, with its number.
        TierError: when a row does not fit.
        OutputError: when the folder cannot be written, or has another batch.
        BusyError: when another run is under way.
        Cancelled: when interrupted.
    """
    try:
        return _start(source, memory, save)
    except KeyboardInterrupt:
        raise Cancelled("Stopped before the first row.") from None


def _start(source: BatchSource, memory: MemoryOptions, save: str | Path | None) -> Started:
    options = dict(source.options)
    overwrite = bool(options.pop("overwrite", False))
    rows = rows_of(replace(source, options=options))
    if len(rows) == 1 and names_file(save):
        check_plans(rows, memory)
        check_working_directory()
        return Started(rows, memory, None, overwrite)
    if overwrite:
        raise RequestError(
            "A batch never replaces files: leave out --overwrite. To make all videos again, choose"
            " another folder with --save FOLDER."
        )
    cluster = current()
    if cluster is not None and rows[0].earlier:
        raise RequestError(
            "With --extend, each video continues the one before, so a cluster cannot make them at"
            " the same time. Type %cogvideo cluster off first."
        )
    if cluster is None:
        check_plans(rows, memory)
    else:  # each worker plans for its own card
        cluster.check(memory)
    session().check_idle()
    model = rows[0].request.model.source
    quantize = memory.savings.quantize
    frames = {"model": model, "storage": "" if quantize else memory.savings.storage}
    frames |= {"quantize": quantize} if quantize else {}  # as in folders of older versions
    frames |= {"speed": memory.speed, "attention": memory.attention}
    frames |= {"cache": str(memory.step_cache or "")}
    return Started(rows, memory, BatchFolder.open(save, rows, asdict(memory) | {"frames": frames}))
