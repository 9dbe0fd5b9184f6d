"""Ctrl-C at the wrong moment: during an import, while tidying up, twice, in a thread."""

from __future__ import annotations

import signal
import threading

import pytest

from cogmagic import Cancelled
from cogmagic._interrupts import interrupts_deferred, interrupts_held
from cogmagic._memory import freeing_frames


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def test_deferred_it_is_raised_when_the_inside_is_over() -> None:
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


def test_deferred_an_error_goes_first() -> None:
    def importing() -> None:
        with interrupts_deferred():
            press()
            raise ImportError

    with pytest.raises(ImportError):
        importing()


def test_held_it_is_ignored() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interrupts_held():
        press()
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("context", [interrupts_deferred, interrupts_held])
def test_other_threads_leave_the_signal_alone(context: type) -> None:
    seen: list[object] = []

    def inside() -> None:
        with context():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]


def test_a_second_press_while_freeing_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cogmagic._memory.empty_cache", press)
    with pytest.raises(Cancelled):
        freeing_frames(press)
