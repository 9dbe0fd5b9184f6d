"""The one pipeline that a kernel holds, and its life: load → run → off the GPU → released."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

from cogmagic._errors import BusyError, OutputError
from cogmagic._interrupts import interrupts_deferred, interrupts_ignored, interrupts_once
from cogmagic._machine.failures import (
    drop_tracebacks,
    is_host_shortage,
    is_shortage,
    run_releasing_tensors,
)
from cogmagic._machine.machine import Machine
from cogmagic._machine.memory import empty_cache
from cogmagic._models.request import Request
from cogmagic._pipeline.preview import OnPreview
from cogmagic._planning.options import Placing
from cogmagic._planning.plan import Plan
from cogmagic._planning.precision import dtype_for
from cogmagic._progress import Clock, OnProgress, silent
from cogmagic._session.calibration import learn
from cogmagic._session.diagnosis import Shortage, cause_of
from cogmagic._session.fallback import cheaper, ran_out
from cogmagic._session.first_plan import first_plan
from cogmagic._session.holder import Held, placement
from cogmagic._session.hot import HOT_TIERS
from cogmagic._session.loaded import Loaded
from cogmagic._session.prepare import Prepared, prepare
from cogmagic._session.run import run
from cogmagic._video.mp4 import check_encoder, write_mp4
from cogmagic._video.output_file import OutputFile, check_disk_space
from cogmagic._video.report import Report, metadata
from cogmagic._video.video import Video

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Session", "session"]


_PATIENCE = 30.0


class Session:
    """Holds at most one pipeline and runs at most one request at a time."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._stop = Event()
        self._running: Request | None = None
        self.held = Held()
        self.unsaved: Video | None = None
        """The last video that could not be written where it was to go."""

    def generate(
        self,
        request: Request,
        *,
        placing: Placing | None = None,
        save: str | Path | None = None,
        overwrite: bool = False,
        on_progress: OnProgress = silent,
        on_preview: OnPreview | None = None,
    ) -> Video:
        """Make the video. Afterwards the GPU holds none of the weights.

        Only where they are to be kept hot, and nothing went wrong, do they stay.

        Raises:
            CogMagicError: one line, with numbers and the way out.
            Cancelled: when interrupted.
        """
        with interrupts_once(self._stop):  # first, or a press could leave the lock locked
            if not self._lock.acquire(blocking=False):
                raise self._busy()
            try:
                self._running = request
                self._stop.clear()
                wish = request, placing or Placing(), save, overwrite, on_progress, on_preview
                return run_releasing_tensors(lambda: self._generate(*wish))
            except BaseException:
                self.held.cool()
                raise
            finally:
                self._running = None
                self._lock.release()

    @property
    def running(self) -> Request | None:
        """What is being made now."""
        return self._running

    @property
    def loaded(self) -> Loaded | None:
        """The pipeline in host memory."""
        return self.held.loaded

    def cancel(self) -> bool:
        """Have a run in another thread stop at its next block; whether there is one."""
        self._stop.set()
        return self._running is not None

    def stop(self) -> None:
        """Stop a run in another thread, and wait until it has let go of everything.

        Raises:
            BusyError: when it has not within half a minute.
        """
        if not self.cancel():
            return
        if not self._lock.acquire(timeout=_PATIENCE):
            raise self._busy()
        self._lock.release()

    def release(self) -> int:
        """Let go of the pipeline; the bytes of weights that host memory got back."""
        if not self._lock.acquire(blocking=False):
            raise self._busy()
        try:
            return self.held.drop()
        finally:
            self._lock.release()

    def _busy(self) -> BusyError:
        running = self._running.prompt if self._running else ""
        return BusyError(
            f"A generation is running in this kernel ({running[:40]!r}). Wait for it, or stop it:"
            " interrupt its cell, or type %cogvideo cancel."
        )

    def _generate(
        self,
        request: Request,
        placing: Placing,
        save: str | Path | None,
        overwrite: bool,
        on_progress: OnProgress,
        on_preview: OnPreview | None,
    ) -> Video:
        clock = Clock(on_progress, self._stop.is_set)
        target = OutputFile.claim(save, request.seed, overwrite=overwrite)
        try:
            check_disk_space(target, request)
            with interrupts_deferred():  # it imports av
                check_encoder()
            job = replace(prepare(request, placing, clock, self._look), show=on_preview)
            frames, report = self._frames(job, clock)
            clock.phase("save")
            video = Video(
                path=target.path,
                prompt=request.prompt,
                model=request.model.name,
                width=request.width,
                height=request.height,
                num_frames=len(frames),
                fps=request.fps,
                seed=request.seed,
                report=report,
            )
            self._save(video, frames, target, metadata(request, report))
            clock.end()
        finally:
            target.drop()
        return video

    def _look(self, placing: Placing) -> Machine:
        """This machine now, as far as the run may use it."""
        return self.held.look(placing.gpus).limited_to(placing.vram_limit)

    def _frames(self, job: Prepared, clock: Clock) -> tuple[np.ndarray[Any, Any], Report]:
        """Run the plan; where memory runs out, the next that needs less, while there is one."""
        machine = self._look(job.placing)
        key = self.held.hot.key
        dtype, fp8 = dtype_for(job.request, machine), job.placing.savings.fp8
        loaded = self.held.has(job.folder, dtype, fp8=fp8)
        chosen = first_plan(
            job, machine, lambda plan: key == placement(job, plan, machine), loaded=loaded
        )
        failed: list[tuple[Plan, Shortage]] = []
        while True:
            outcome = self._attempt(job, machine, chosen, clock)
            if not isinstance(outcome, Exception):
                return outcome if not failed else (outcome[0], _told(outcome[1], failed))
            if is_host_shortage(outcome):
                self.held.drop()
            before, machine = machine, self._look(job.placing)
            cause = cause_of(outcome, chosen, before, machine)
            if job.placing.plain and cause.kind in ("device", "fragmented"):
                learn(before, chosen, None)
            failed.append((chosen, cause))
            following = cheaper(job, chosen, cause, machine)
            if following is None:
                raise ran_out(failed)
            clock.start_over(
                f"{job.request.model.name}, {following.tier} after {chosen.tier} ran out of memory"
            )
            chosen = following

    def _attempt(
        self, job: Prepared, machine: Machine, chosen: Plan, clock: Clock
    ) -> tuple[np.ndarray[Any, Any], Report] | Exception:
        """What came of the plan, or the shortage that ended it, which keeps no tensor alive."""
        try:
            stay = job.placing.keep == "hot" and chosen.tier in HOT_TIERS
            key = placement(job, chosen, machine)
            loaded = self.held.load(job, chosen, machine, key, clock.check)
            place = partial(self.held.hot.placed, key, loaded.pipe, stay=stay)
            try:
                frames, report = run(job, machine, chosen, loaded, clock, place)
            finally:
                with interrupts_ignored():
                    del loaded, place
                    stays = self.held.keep(chosen, job.placing)
            if job.placing.plain:
                learn(machine, chosen, report)
            return frames, replace(report, kept=stays)
        except Exception as error:
            if not is_shortage(error):
                raise
            short = error
        with interrupts_ignored():
            drop_tracebacks(short)
            empty_cache()
        return short

    def _save(
        self, video: Video, frames: np.ndarray[Any, Any], target: OutputFile, facts: dict[str, Any]
    ) -> None:
        """Write the file; where the disk refuses, keep it in memory, and say so."""
        try:
            write_mp4(target.part, frames, video.fps, facts)
            target.commit()
        except Exception as error:  # whatever it is, the frames have taken long to make
            said = str(error) or type(error).__name__
            refused = said if isinstance(error, OutputError) else f"Saving failed: {said}."
        else:
            return
        self.held.drop()  # it may have been memory
        empty_cache()
        held = BytesIO()
        write_mp4(held, frames, video.fps, facts)
        self.unsaved = replace(video, unsaved=held.getvalue())
        raise OutputError(
            f"{refused} The video is kept in memory: %cogvideo save PATH writes it elsewhere."
        )


def _told(report: Report, failed: list[tuple[Plan, Shortage]]) -> Report:
    """The report, with what was tried before."""
    tried = " and ".join(f"in {plan.tier} {cause.said}" for plan, cause in failed)
    return replace(report, reason=f"{report.reason}; {tried}")


_SESSION = Session()


def session() -> Session:
    """The kernel's session."""
    return _SESSION
