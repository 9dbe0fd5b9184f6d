"""The live line: phase, step, time left and VRAM, the only output during a run.

The ticking thread prints nothing. It updates one display, in the context of the cell that started
it, so that the line stays under that cell (see ipywidgets issue 4020).
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextvars import copy_context

from cogmagic._api.displays import Display
from cogmagic._interrupts import interrupts_deferred, interrupts_ignored
from cogmagic._progress import Progress
from cogmagic._units import duration, gib

__all__ = ["LiveLine", "describe"]


_TICK_SECONDS = 0.5
"""Seconds between updates while no progress is reported."""


_UPDATE_SECONDS = 0.1
"""Least seconds between two updates within a phase."""


class LiveLine:
    """A context manager that shows progress and, at the end, the facts or the failure.

    Args:
        display: where the line appears.
        tail: makes the end of the line; None for this kernel's VRAM.
    """

    def __init__(self, display: Display, tail: Callable[[], str] | None = None) -> None:
        self._display, self._tail = display, tail
        self._progress: Progress | None = None
        self._began = self._phase_began = time.monotonic()
        self._shown_at = 0.0
        self._paused = False
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._ticker = threading.Thread(
            target=copy_context().run, args=(self._tick,), name="cogmagic-live", daemon=True
        )

    def __enter__(self) -> LiveLine:
        self._display.show("starting…")
        with interrupts_deferred():  # an interrupt in here would leave the thread running
            self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        with interrupts_ignored():  # people press the stop button twice
            self._stop.set()
            self._ticker.join()
            if kind is not None:
                stopped = issubclass(kind, KeyboardInterrupt | GeneratorExit)
                word = "stopped" if stopped else "failed"
                text = self._text() if self._progress else "the run had not begun"
                warning = self._progress.warning if self._progress else ""
                self._display.end(f"{word}: {text}", warning, failed=True)

    def __call__(self, progress: Progress) -> None:
        """Show this progress; as `on_progress` of `generate`."""
        now = time.monotonic()
        before, self._paused = self._progress, False
        new = before is None or (progress.phase, progress.row) != (before.phase, before.row)
        if new:
            self._phase_began = now
        self._progress = progress
        if new or progress.done == progress.total or now - self._shown_at > _UPDATE_SECONDS:
            self._show()

    def pause(self) -> None:
        """Leave the line as it is until the next progress: between the rows of a batch."""
        self._paused = True

    def finish(self, facts: str, warning: str = "") -> None:
        """Replace the progress by the facts of the run, with the warning below them."""
        self._stop.set()
        self._ticker.join()
        self._display.end(facts, warning)

    def _tick(self) -> None:
        while not self._stop.wait(_TICK_SECONDS):
            if not self._paused and time.monotonic() - self._shown_at >= _TICK_SECONDS:
                self._show()

    def _text(self) -> str:
        now = time.monotonic()
        if self._progress is None:
            return f"starting… {duration(now - self._began)}"
        return describe(self._progress, now - self._phase_began, self._tail and self._tail())

    def _show(self) -> None:
        p = self._progress
        with self._lock:
            self._shown_at = time.monotonic()
            share = p.done / p.total if p and p.total else None
            self._display.show(self._text(), share, p.warning if p else "")


def describe(progress: Progress, seconds: float, tail: str | None = None) -> str:
    """Progress as one line of text, `seconds` into its phase; without the warning.

    It ends with `tail`, or with this kernel's VRAM where that is None.
    """
    p = progress
    parts = [f"row {p.row} of {p.rows}" if p.rows else ""]
    parts.append(f"{p.phase}{' ' + p.note if p.note else ''}")
    if p.total and p.phase in ("download", "load"):
        rate = (p.done - p.start) / seconds if seconds > 1 else 0.0
        parts.append(f"{p.done / 1e9:.2f} of {p.total / 1e9:.2f} GB, {rate / 1e6:.0f} MB/s")
    elif p.total:
        parts.append(f"{p.done}/{p.total}")
    parts.append(duration(seconds))
    if p.batch_seconds_left is not None:
        parts.append(f"{duration(p.batch_seconds_left)} left for all rows")
    elif p.seconds_left is not None:
        parts.append(f"{duration(p.seconds_left)} left" + " in this row" * bool(p.rows))
    return " · ".join(filter(None, (*parts, _vram() if tail is None else tail)))


def _vram() -> str:
    """This kernel's VRAM on each GPU, and the highest peak; empty before CUDA is used."""
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "cuda") or not torch.cuda.is_initialized():
        return ""
    devices = range(torch.cuda.device_count())
    used = [n for n in map(torch.cuda.memory_allocated, devices) if n] or [0]
    peak = max(torch.cuda.max_memory_allocated(i) for i in devices)
    return f"VRAM {' + '.join(map(gib, used))}, peak {gib(peak)}"
