"""The one pipeline that a kernel holds, and its life: load → run → off the GPU → released."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Lock
from typing import TypeVar

from cogmagic._errors import BusyError
from cogmagic._interrupts import interrupts_deferred, interrupts_once
from cogmagic._machine.failures import run_releasing_tensors
from cogmagic._models.request import Request
from cogmagic._pipeline.measure import as_extended, video_of
from cogmagic._pipeline.preview import OnPreview
from cogmagic._planning.memory_options import DEFAULTS, MemoryOptions
from cogmagic._progress import Clock, OnProgress, silent
from cogmagic._session.attempts import frames_of
from cogmagic._session.loaded import Loaded
from cogmagic._session.pipeline_slot import PipelineSlot
from cogmagic._session.prepare import Job, prepare
from cogmagic._session.save import save_video
from cogmagic._video.extension import total_frames
from cogmagic._video.formats.base import Frames
from cogmagic._video.output_file import OutputFile, check_disk_space
from cogmagic._video.output_path import check_working_directory
from cogmagic._video.report import metadata
from cogmagic._video.video import Video

__all__ = ["Output", "Session", "session"]

Result = TypeVar("Result")


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
        self.cancels = 0
        """How often `cancel` was called: a batch ends between two rows, too."""

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
        return self.alone(request, lambda: self._generate(request, options, output))

    def alone(self, request: Request, run: Callable[[], Result]) -> Result:
        """Call `run` while no other run of this kernel does; after an error the GPU holds nothing.

        Args:
            request: what is being made, for the errors of other runs.
            run: what to do; may be stopped between two blocks.

        Raises:
            BusyError: when another run is under way.
            Cancelled: when interrupted.
        """
        with interrupts_once(self._stop):  # first, or a press could leave the lock locked
            if not self._lock.acquire(blocking=False):
                raise self._busy()
            try:
                self._running = request
                self._stop.clear()
                return run_releasing_tensors(run)
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
        self.cancels += 1
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
        """Drop the pipeline and the workers; returns the bytes in host memory that this frees."""
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

    def check_idle(self) -> None:
        """Check that no run is under way.

        Raises:
            BusyError: when one is.
        """
        if self._lock.locked():
            raise self._busy()

    def settle(self) -> None:
        """Leave a batch's weights where `keep` says, unless another run uses them already."""
        if self._lock.acquire(blocking=False):
            try:
                self.slot.settle()
            finally:
                self._lock.release()

    def clock(self, on_progress: OnProgress) -> Clock:
        """The clock of a run, which `cancel` stops."""
        return Clock(on_progress, self._stop.is_set)

    def _generate(self, request: Request, options: MemoryOptions, output: Output) -> Video:
        clock = self.clock(output.on_progress)
        check_working_directory()
        file = OutputFile.claim(output.save, request.seed, overwrite=output.overwrite)
        try:
            check_disk_space(file, request, total_frames(request))
            with interrupts_deferred():  # it imports av
                file.format.check(request.fps)
            job = prepare(request, options, clock, self.slot)
            return self.make(replace(job, show=output.on_preview), file, clock)
        finally:
            file.drop()

    def make(self, job: Job, file: OutputFile, clock: Clock) -> Video:
        """Make and write the video of a job; for use inside `alone`."""
        request = job.request
        made, report = frames_of(job, self.slot, clock)
        clock.phase("save")
        frames: Frames = made
        if job.earlier is not None:
            frames = joined = job.earlier.joined(made, clock.step)
            report = as_extended(report, job.earlier, joined)
        video = video_of(file.path, request, report, len(frames))
        facts = metadata(request, report, job.options.asked)
        video, error = save_video(video, frames, facts, file, self.slot)
        if error is not None:
            self.unsaved = video
            raise error
        clock.end()
        return video


_SESSION = Session()


def session() -> Session:
    """The kernel's session."""
    return _SESSION
