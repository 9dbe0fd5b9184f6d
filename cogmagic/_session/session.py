"""The one pipeline that a kernel holds, and its life: load → run → off the GPU → released."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Lock

from cogmagic._errors import BusyError
from cogmagic._interrupts import interrupts_deferred, interrupts_once
from cogmagic._machine.failures import run_releasing_tensors
from cogmagic._models.request import Request
from cogmagic._pipeline.measure import video_of
from cogmagic._pipeline.preview import OnPreview
from cogmagic._planning.memory_options import DEFAULTS, MemoryOptions
from cogmagic._progress import Clock, OnProgress, silent
from cogmagic._session.attempts import frames_of
from cogmagic._session.loaded import Loaded
from cogmagic._session.pipeline_slot import PipelineSlot
from cogmagic._session.prepare import prepare
from cogmagic._session.save import save_video
from cogmagic._video.output_file import OutputFile, check_disk_space
from cogmagic._video.output_path import check_working_directory
from cogmagic._video.report import metadata
from cogmagic._video.video import Video

__all__ = ["Output", "Session", "session"]


_STOP_SECONDS = 30.0
"""How long `Session.stop` waits for a run to end."""


@dataclass(frozen=True)
class Output:
    """Where a run's video and its progress go."""

    save: str | Path | None = None
    """The file, whose suffix is the format, or the folder; None for the working directory."""
    overwrite: bool = False
    on_progress: OnProgress = silent
    on_preview: OnPreview | None = None


QUIET = Output()


class Session:
    """Holds at most one pipeline and runs at most one request at a time."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._stop = Event()
        self._running: Request | None = None
        self.slot = PipelineSlot()
        self.unsaved: Video | None = None
        """The last video that could not be written to its file."""

    def generate(
        self,
        request: Request,
        options: MemoryOptions = DEFAULTS,
        output: Output = QUIET,
    ) -> Video:
        """Make the video. Afterwards the GPU holds none of the weights.

        They only stay where they are kept hot and nothing went wrong.

        Raises:
            CogMagicError: one line, with numbers and what to type next.
            Cancelled: when interrupted.
        """
        with interrupts_once(self._stop):  # first, or a press could leave the lock locked
            if not self._lock.acquire(blocking=False):
                raise self._busy()
            try:
                self._running = request
                self._stop.clear()
                return run_releasing_tensors(lambda: self._generate(request, options, output))
            except BaseException:
                self.slot.cool()
                raise
            finally:
                self._running = None
                self._lock.release()

    @property
    def running(self) -> Request | None:
        """The request that is running now."""
        return self._running

    @property
    def loaded(self) -> Loaded | None:
        """The pipeline in host memory."""
        return self.slot.loaded

    def cancel(self) -> bool:
        """Stop a run in another thread at its next block; returns whether one is running."""
        self._stop.set()
        return self._running is not None

    def stop(self) -> None:
        """Stop a run in another thread, and wait until it has freed everything.

        Raises:
            BusyError: when it has not within half a minute.
        """
        if not self.cancel():
            return
        if not self._lock.acquire(timeout=_STOP_SECONDS):
            raise self._busy()
        self._lock.release()

    def release(self) -> int:
        """Drop the pipeline; returns the bytes of weights that it had in host memory."""
        if not self._lock.acquire(blocking=False):
            raise self._busy()
        try:
            return self.slot.drop()
        finally:
            self._lock.release()

    def _busy(self) -> BusyError:
        running = self._running.prompt if self._running else ""
        return BusyError(
            f"A generation is running in this kernel ({running[:40]!r}). Wait for it, or stop it:"
            " interrupt its cell, or type %cogvideo cancel."
        )

    def _generate(self, request: Request, options: MemoryOptions, output: Output) -> Video:
        clock = Clock(output.on_progress, self._stop.is_set)
        check_working_directory()
        file = OutputFile.claim(output.save, request.seed, overwrite=output.overwrite)
        try:
            check_disk_space(file, request)
            with interrupts_deferred():  # it imports av
                file.format.check(request.fps)
            job = prepare(request, options, clock, self.slot)
            job = replace(job, show=output.on_preview)
            frames, report = frames_of(job, self.slot, clock)
            clock.phase("save")
            video = video_of(file.path, request, report, len(frames))
            video, error = save_video(video, frames, metadata(request, report), file, self.slot)
            if error is not None:
                self.unsaved = video
                raise error
            clock.end()
        finally:
            file.drop()
        return video


_SESSION = Session()


def session() -> Session:
    """The kernel's session."""
    return _SESSION
