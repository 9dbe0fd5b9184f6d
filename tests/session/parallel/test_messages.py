"""Messages and errors that cross the pipe between the kernel and a worker."""

from __future__ import annotations

from itertools import count
from multiprocessing.connection import Connection
from socket import socketpair
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import cogmagic
from cogmagic._pipeline.parallel.group import FirstRankError
from cogmagic._session.parallel.answers import WorkersFailed, answers_of
from cogmagic._session.parallel.failures import Failed, WorkerLost, lost_worker, root_cause
from cogmagic._session.parallel.link import Link
from cogmagic._session.parallel.messages import Embedded
from tests.helpers.shortages import short


def test_tensors_cross_the_pipe_without_shared_memory() -> None:
    mine, theirs = (Link(Connection(end.detach())) for end in socketpair())
    mine.send(Embedded("a", torch.arange(6.0).bfloat16()))
    message = theirs.receive()
    assert torch.equal(message.embeds, torch.arange(6.0).bfloat16())
    mine.connection.close()
    with pytest.raises(EOFError):
        theirs.receive()
    theirs.connection.close()


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return Failed.of(caught).error("worker 2 of 4")


def test_an_error_of_ours_arrives_as_it_was() -> None:
    error = raised(cogmagic.TierError("No room."))
    assert type(error) is cogmagic.TierError
    assert str(error) == "No room."
    assert "Traceback of worker 2 of 4" in error.__notes__[0]


def test_a_shortage_arrives_as_one() -> None:
    assert isinstance(raised(short()), torch.OutOfMemoryError)
    assert isinstance(raised(MemoryError()), MemoryError)


def test_any_other_error_is_one_line_with_what_to_do() -> None:
    error = raised(ZeroDivisionError("two\nlines"))
    assert type(error) is cogmagic.DeviceError
    assert str(error) == (
        "Worker 2 of 4 failed (ZeroDivisionError: two). Try again; without --parallel, one GPU"
        " makes the video."
    )


def test_the_worker_that_was_lost_is_the_cause_of_the_others_errors() -> None:
    lost, broken = lost_worker("worker 1 of 2", -9, ""), Failed.of(RuntimeError("peer closed"))
    assert isinstance(lost, WorkerLost)
    assert root_cause({1: broken, 0: lost}) == (0, lost)
    assert root_cause({0: broken, 1: Failed.of(MemoryError())})[0] == 1
    assert root_cause({1: Failed.of(FirstRankError("NaN")), 0: broken}) == (0, broken)
    assert str(lost) == "worker 1 of 2 was killed (SIGKILL)"
    assert str(lost_worker("worker 1 of 2", 1, "No module named torch")) == (
        "worker 1 of 2 ended (exit code 1: No module named torch)"
    )


def test_a_kernel_that_had_to_wait_for_a_core_still_learns_the_cause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Worker 2 is lost, and worker 1, which waited for it, fails; the kernel reads on late."""
    pairs = [[Link(Connection(end.detach())) for end in socketpair()] for _ in range(2)]
    lost = WorkerLost("worker 2 of 2 was killed (SIGKILL)")

    def answer(number: int) -> Any:
        return pairs[number][0].receive() if number == 0 else lost

    processes: Any = [
        SimpleNamespace(name=f"worker {n + 1}", link=pairs[n][0], answer=lambda n=n: answer(n))
        for n in range(2)
    ]
    pairs[0][1].send(Failed.of(RuntimeError("Connection closed by peer")))
    seconds, checks = count(step=60), count()
    monkeypatch.setattr("time.monotonic", lambda: next(seconds))  # a minute from look to look

    def check() -> None:
        if next(checks) == 1:
            pairs[1][1].connection.close()

    with pytest.raises(WorkersFailed) as failed:
        answers_of(processes, 2, check, lambda _: None, "")
    assert failed.value.cause is lost
    for link in (pairs[0][0], pairs[0][1], pairs[1][0]):
        link.connection.close()
