"""Ctrl-C at the wrong moment: during an import or clean-up, twice, in a thread."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import suppress
from typing import Any

import pytest

from cogmagic import Cancelled
from cogmagic._interrupts import interrupts_deferred, interrupts_ignored, interrupts_once
from cogmagic._machine.failures import run_releasing_tensors


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def pass_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the clock forward, and stop it."""
    later = time.monotonic() + 60
    monkeypatch.setattr("time.monotonic", lambda: later)


def test_deferred_interrupt_is_raised_after_the_block() -> None:
    before, reached = signal.getsignal(signal.SIGINT), []

    def importing() -> None:
        with interrupts_deferred():
            press()
            press()
            reached.append(True)

    with pytest.raises(KeyboardInterrupt):
        importing()
    assert reached
    assert signal.getsignal(signal.SIGINT) is before


def test_error_in_the_block_precedes_the_deferred_interrupt() -> None:
    def importing() -> None:
        with interrupts_deferred():
            press()
            raise ImportError

    with pytest.raises(ImportError):
        importing()


def test_ignored_interrupt_has_no_effect() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interrupts_ignored():
        press()
    assert signal.getsignal(signal.SIGINT) is before


def test_second_interrupt_does_not_disturb_the_clean_up(monkeypatch: pytest.MonkeyPatch) -> None:
    before, stop, tidied = signal.getsignal(signal.SIGINT), threading.Event(), []

    def run() -> None:
        with interrupts_once(stop):
            try:
                press()
            finally:
                press()
                tidied.append(True)

    with pytest.raises(KeyboardInterrupt):
        run()
    press()  # a moment after the end, while ipykernel sends the cell's reply
    assert tidied
    assert stop.is_set()

    pass_a_minute(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        press()
    assert signal.getsignal(signal.SIGINT) is before


def test_interrupt_works_again_after_one_was_lost() -> None:
    def run() -> None:
        with interrupts_once(threading.Event(), repeat_after=0.0):
            with suppress(KeyboardInterrupt):
                press()
            press()

    with pytest.raises(KeyboardInterrupt):
        run()


def test_interrupt_in_a_destructor_stops_at_the_next_block() -> None:
    """Raised there, it would be printed and dropped."""

    class Gone:
        def __del__(self) -> None:
            press()

    stop = threading.Event()
    with interrupts_once(stop):
        Gone()
        assert stop.is_set()


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL])
def test_disabled_interrupts_stay_disabled(handler: Any) -> None:
    before = signal.signal(signal.SIGINT, handler)
    try:
        with interrupts_once(threading.Event()):
            assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_foreign_signal_handler_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as that of a cell that awaits, which would let the run go on to its end."""

    def other(*_: object) -> None:
        raise ZeroDivisionError

    before = signal.signal(signal.SIGINT, other)
    try:
        with pytest.raises(KeyboardInterrupt), interrupts_once(threading.Event()):
            press()
        pass_a_minute(monkeypatch)
        with pytest.raises(ZeroDivisionError):
            press()
        assert signal.getsignal(signal.SIGINT) is other
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("context", [interrupts_deferred, interrupts_ignored])
def test_other_threads_do_not_touch_the_signal_handler(context: type) -> None:
    seen: list[object] = []

    def inside() -> None:
        with context():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]


def test_second_interrupt_during_clean_up_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cogmagic._machine.failures.empty_cache", press)
    with pytest.raises(Cancelled):
        run_releasing_tensors(press)
