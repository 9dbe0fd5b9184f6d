"""Holding Ctrl-C back while things are brought in or put in order."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["interrupts_deferred", "interrupts_ignored", "interrupts_once"]


# Destructors, and what ipykernel 6.31 has the garbage collector call.
_FORGETFUL = ("__del__", "_clean_thread_parent_frames")


_AGAIN = 5.0
"""Seconds after which a press counts again: the first may have been lost in a destructor."""


@contextmanager
def interrupts_once(stop: threading.Event) -> Iterator[None]:
    """Let the first SIGINT interrupt the inside, and not a second one its tidying up.

    Args:
        stop: is set as well, so that the run ends at its next block should nobody see the error.
    """
    handler = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not main or not callable(handler):  # elsewhere, or interrupts are off
        yield
        return
    pressed = float("-inf")

    def press(_: int, frame: FrameType | None) -> None:
        nonlocal pressed
        now = time.monotonic()
        if now - pressed < _AGAIN:
            return
        pressed = now
        stop.set()
        if not _is_lost(frame):
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, press)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def _is_lost(frame: FrameType | None) -> bool:
    """Whether an error raised in `frame` would be printed and forgotten, as Python does there."""
    while frame is not None:
        if frame.f_code.co_name in _FORGETFUL:
            return True
        frame = frame.f_back
    return False


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Let SIGINT wait until the inside is over, and raise it then.

    For imports: a library whose import is stopped half-way is broken for the kernel's whole life.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    previous = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
    if came:
        signal.raise_signal(signal.SIGINT)


@contextmanager
def interrupts_ignored() -> Iterator[None]:
    """Ignore SIGINT inside: cleaning up takes a moment and must not stop half-way.

    Only the main thread gets interrupts, so elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
