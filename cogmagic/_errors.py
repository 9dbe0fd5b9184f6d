"""The tree of errors that cogmagic raises.

    CogMagicError
    ├── RequestError      a request that the model cannot fulfil (also a ValueError)
    ├── CheckpointError   a model or LoRA that is missing, damaged, or not CogVideoX
    ├── TierError         a tier that this machine cannot use
    ├── OutOfMemoryError  a run that needed more memory than was free
    ├── NonFiniteError    a run that computed NaN or infinity
    ├── DeviceError       a GPU in an unrecoverable state
    ├── ClusterError      a Ray cluster that cannot be used, or is lost
    ├── EndpointError     a chat endpoint that cannot be used, or gives no prompt
    ├── OutputError       a video that cannot be written, or read back
    ├── BatchError        a batch with rows that failed
    ├── TrainingError     a validation that would harm the training around it, or hang
    └── BusyError         a second generation in the same kernel
    Cancelled             a run that the user stopped (a KeyboardInterrupt)

Every message is one line: what failed, with its numbers, and what to type next. IPython shows that
line alone; ``%config CogMagic.short_errors = False`` brings the traceback back.
"""

from __future__ import annotations

import difflib
import traceback
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

__all__ = [
    "BatchError",
    "BusyError",
    "Cancelled",
    "CheckpointError",
    "ClusterError",
    "CogMagicError",
    "DeviceError",
    "EndpointError",
    "NonFiniteError",
    "OutOfMemoryError",
    "OutputError",
    "RequestError",
    "TierError",
    "TrainingError",
    "causes",
    "did_you_mean",
    "error_line",
    "first_line",
    "plain_line",
    "reason_of",
    "reworded",
]


class _OneLine(BaseException):
    """An exception that IPython shows as one line (it looks for ``_render_traceback_``)."""

    short: bool = True
    """Whether the traceback is left out."""

    def _render_traceback_(self) -> list[str]:
        if not self.short:
            return "".join(traceback.format_exception(self)).splitlines()
        return [f"{type(self).__name__}: {self}"]


class CogMagicError(_OneLine, Exception):
    """Base of all errors that cogmagic raises on purpose."""

    def __init__(self, message: str = "") -> None:
        super().__init__(plain_line(message))


class RequestError(CogMagicError, ValueError):
    """A request that the model cannot fulfil."""


class CheckpointError(CogMagicError):
    """A model or LoRA that is missing, incomplete, or not of CogVideoX."""


class TrainingError(CogMagicError):
    """A validation that cannot run inside this training."""


class TierError(CogMagicError):
    """A tier that cannot be used on this machine."""


class OutOfMemoryError(CogMagicError):
    """A run that needed more memory than was free."""


class NonFiniteError(CogMagicError):
    """A run that computed NaN or infinity, from which no video can be made."""


class DeviceError(CogMagicError):
    """A GPU in an unrecoverable state: only a new process can use it again."""


class ClusterError(CogMagicError):
    """A Ray cluster that cannot be used, or is lost."""


class EndpointError(CogMagicError):
    """A chat endpoint that cannot be used, or whose answer has no prompt."""


class OutputError(CogMagicError):
    """A video that cannot be written to the requested path, or read back."""


class BatchError(CogMagicError):
    """A batch some rows of which failed; the videos of the others are finished."""

    def __init__(self, message: str = "", failed: Mapping[int, str] | None = None) -> None:
        super().__init__(message)
        self.failed = dict(failed or {})
        """The error of each failed row, by the row's number."""


class BusyError(CogMagicError):
    """A generation that was started while another one runs in this kernel."""


class Cancelled(_OneLine, KeyboardInterrupt):
    """A run that the user stopped; its memory has been freed."""


_Error = TypeVar("_Error", bound=CogMagicError | Cancelled)


def reworded(error: _Error, message: str | None = None) -> _Error:
    """An error of the same type with another message, by default its own.

    It has neither traceback nor causes, which would hold tensors or cannot be sent to a process.
    """
    return type(error)(str(error) if message is None else message)


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error and those that led to it, the newest first, each once."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def error_line(error: BaseException) -> str:
    """The type of an error and the first line of its message: ``OSError: disk full``."""
    name, text = type(error).__name__, first_line(error)
    return name if text == name else f"{name}: {text}"


def reason_of(error: BaseException) -> str:
    """The message of an error; of one that cogmagic did not raise, `error_line`."""
    return str(error) if isinstance(error, CogMagicError) else error_line(error)


def first_line(error: BaseException) -> str:
    """The first line of an error's message, at most 160 characters; its type if it has none."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:160]


def plain_line(text: str) -> str:
    """`text` as one line of at most 1500 characters, with control characters escaped.

    Line ends, colour codes and marks of writing direction could hide what the text says.
    """
    shown = "".join(c if _is_printable(c) else repr(c)[1:-1] for c in text[:_MAX_CHARACTERS])
    return shown + "…" * (len(text) > _MAX_CHARACTERS)


_MAX_CHARACTERS = 1500


_DIRECTION_MARKS = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)


def _is_printable(c: str) -> bool:
    return c not in _DIRECTION_MARKS and unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp")


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """``" Did you mean 'x'?"`` for the nearest of `choices`, or an empty string.

    Choices of half the word's length or less share its letters by chance.
    """
    by_lower = {choice.lower(): choice for choice in choices if 2 * len(choice) > len(word)}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.5)
    return f" Did you mean {by_lower[near[0]]!r}?" if near else ""
