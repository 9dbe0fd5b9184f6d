"""Errors that cross the pipe from a worker to the kernel, and the loss of a worker."""

from __future__ import annotations

import signal
import traceback
from dataclasses import dataclass
from typing import Literal

from cogmagic._errors import CogMagicError, DeviceError, error_line, reworded
from cogmagic._machine.failures import is_host_shortage, is_shortage
from cogmagic._pipeline.parallel.group import FirstRankError

__all__ = ["Failed", "WorkerLost", "lost_worker", "root_cause"]


class WorkerLost(CogMagicError):
    """A worker that ended in the middle of a run."""


@dataclass(frozen=True)
class Failed:
    """An error of a worker, as a message: nothing in it needs a class that the kernel lacks."""

    kind: Literal["device", "host", "known", "unknown", "first rank"]
    """Which memory ran out; or an error of cogmagic's own; any other one; or that of rank 0."""
    text: str
    """The error's message."""
    known: CogMagicError | None = None
    details: str = ""
    """The traceback."""

    @classmethod
    def of(cls, error: BaseException) -> Failed:
        """The message about `error`."""
        details = "".join(traceback.format_exception(error))
        if isinstance(error, CogMagicError):
            return cls("known", str(error), reworded(error), details)
        if is_shortage(error):
            return cls("host" if is_host_shortage(error) else "device", str(error), None, details)
        kind: Literal["first rank", "unknown"] = "unknown"
        if isinstance(error, FirstRankError):
            kind = "first rank"
        return cls(kind, error_line(error), None, details)

    def error(self, worker: str, advice: str = "") -> Exception:
        """The error to raise in the kernel.

        Args:
            worker: its name in an error, such as ``worker 2 of 4``.
            advice: what to try after an error that is not cogmagic's own.
        """
        error: Exception
        if self.known is not None:
            error = self.known
        elif self.kind == "host":
            error = MemoryError(self.text)
        elif self.kind == "device":
            from torch import OutOfMemoryError

            error = OutOfMemoryError(self.text)
        else:
            advice = advice or "Try again; without --parallel, one GPU makes the video."
            error = DeviceError(f"{worker.capitalize()} failed ({self.text}). {advice}")
        if self.details:
            error.add_note(f"Traceback of {worker}:\n{self.details}")
        return error


_ORDER = ("host", "device", "known", "unknown", "first rank")


def root_cause(failures: dict[int, Failed | WorkerLost]) -> tuple[int, Failed | WorkerLost]:
    """The rank and the failure that led to the others: a lost worker, then a shortage.

    A rank whose partner fails gets an error of its own from their connection.
    """

    def order(item: tuple[int, Failed | WorkerLost]) -> int:
        failure = item[1]
        return -1 if isinstance(failure, WorkerLost) else _ORDER.index(failure.kind)

    return min(failures.items(), key=order)


def lost_worker(worker: str, code: int | None, output: str) -> WorkerLost:
    """The error of a worker whose process has ended.

    Args:
        worker: its name.
        code: the exit code; the negative number of the signal that killed it; None if unknown.
        output: the last line that it printed.
    """
    if code is not None and code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return WorkerLost(f"{worker} was killed ({name})")
    about = ": ".join(filter(None, (f"exit code {code}", output)))
    return WorkerLost(f"{worker} ended ({about})")
