"""Holding Ctrl-C back while things are brought in or put in order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["interrupts_deferred", "interrupts_held"]


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
        raise KeyboardInterrupt


@contextmanager
def interrupts_held() -> Iterator[None]:
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
