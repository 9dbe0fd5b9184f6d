"""Ctrl-C (SIGINT) counted once, deferred or ignored, where it would leave things half done."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["interrupts_deferred", "interrupts_ignored", "interrupts_once"]

_Handler = Callable[[int, FrameType | None], object]

_SWALLOWING = ("__del__", "_clean_thread_parent_frames")
"""Functions in which an error is printed and dropped: destructors, and a callback that ipykernel
6.31 gives the garbage collector."""


_REPEAT_AFTER = 5.0
"""Seconds after which a press counts again: the first may have been lost in a destructor."""

_DOUBLE_PRESS = 2.0
"""Seconds after an interrupted block in which a press is taken for the second of two. ipykernel
loses the cell's reply, and the front end waits for ever, if it is interrupted while it sends it."""


@contextmanager
def interrupts_once(stop: threading.Event, repeat_after: float = _REPEAT_AFTER) -> Iterator[None]:
    """Interrupt the block at the first SIGINT, and ignore a second one during its clean-up.

    A press within `_DOUBLE_PRESS` seconds of the end of an interrupted block is ignored as well.

    Args:
        stop: set as well, so that the run ends at its next block even if the error is lost.
        repeat_after: seconds after which a press counts again.
    """
    handler = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not main or not callable(handler):  # no interrupts in other threads, or none at all
        yield
        return
    pressed = float("-inf")

    def press(_: int, frame: FrameType | None) -> None:
        nonlocal pressed
        now = time.monotonic()
        if now - pressed < repeat_after:
            return
        pressed = now
        stop.set()
        if not _is_lost(frame):
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, press)
    try:
        yield
    finally:
        after = _after_double_press(handler) if pressed > 0 else handler
        signal.signal(signal.SIGINT, after)


def _after_double_press(handler: _Handler) -> _Handler:
    """A handler that ignores presses for `_DOUBLE_PRESS` seconds, then reinstates `handler`."""
    until = time.monotonic() + _DOUBLE_PRESS

    def press(number: int, frame: FrameType | None) -> None:
        if time.monotonic() >= until:
            signal.signal(signal.SIGINT, handler)
            handler(number, frame)

    return press


def _is_lost(frame: FrameType | None) -> bool:
    """Whether Python would print and drop an error raised in `frame`."""
    while frame is not None:
        if frame.f_code.co_name in _SWALLOWING:
            return True
        frame = frame.f_back
    return False


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Defer SIGINT until the block has ended.

    For imports: a library whose import is interrupted stays broken until the kernel restarts.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    deferred: list[int] = []
    previous = signal.signal(signal.SIGINT, lambda number, _: deferred.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
    if deferred:
        signal.raise_signal(signal.SIGINT)


@contextmanager
def interrupts_ignored() -> Iterator[None]:
    """Ignore SIGINT in the block: clean-up takes a moment and must not be interrupted.

    Only the main thread receives interrupts, so this does nothing in others.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
