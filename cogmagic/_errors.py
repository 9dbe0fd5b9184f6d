"""What can go wrong, as one tree.

    CogMagicError
    ├── RequestError      a wish that the model cannot fulfil (also a ValueError)
    ├── CheckpointError   a model that is missing, half there, or not CogVideoX
    ├── TierError         a placement that this machine cannot do
    ├── OutOfMemoryError  the run needed more memory than there was
    ├── DeviceError       a GPU that this kernel cannot use any more
    ├── OutputError       a video that cannot be written
    ├── TrainingError     a validation that would harm the training around it, or hang
    └── BusyError         a generation is already running in this kernel
    Cancelled             the person stopped the run (a KeyboardInterrupt)

Every message says what happened, with its numbers, and what to type next. In IPython each shows as
that one line; ``%config CogMagic.short_errors = False`` brings the traceback back.
"""

from __future__ import annotations

import difflib
import traceback
import unicodedata
from collections.abc import Iterable, Iterator

__all__ = [
    "BusyError",
    "Cancelled",
    "CheckpointError",
    "CogMagicError",
    "DeviceError",
    "OutOfMemoryError",
    "OutputError",
    "RequestError",
    "TierError",
    "TrainingError",
    "causes",
    "did_you_mean",
    "first_line",
    "plain_line",
]


class _OneLine(BaseException):
    """Renders an exception as one line; IPython looks for ``_render_traceback_``."""

    short: bool = True
    """False for the traceback."""

    def _render_traceback_(self) -> list[str]:
        if not self.short:
            return "".join(traceback.format_exception(self)).splitlines()
        return [f"{type(self).__name__}: {self}"]


class CogMagicError(_OneLine, Exception):
    """Base of everything that cogmagic raises on purpose."""

    def __init__(self, message: str = "") -> None:
        super().__init__(plain_line(message))


class RequestError(CogMagicError, ValueError):
    """The request is not one that the model can fulfil."""


class CheckpointError(CogMagicError):
    """The model is missing, incomplete, or not a CogVideoX pipeline."""


class TrainingError(CogMagicError):
    """A validation that cannot be made inside this training run."""


class TierError(CogMagicError):
    """The tier cannot be used on this machine."""


class OutOfMemoryError(CogMagicError):
    """The run needed more memory than the device had."""


class DeviceError(CogMagicError):
    """The GPU has failed in a way that only a new process gets over."""


class OutputError(CogMagicError):
    """The video cannot be written where it was asked for."""


class BusyError(CogMagicError):
    """Another generation is running in this kernel."""


class Cancelled(_OneLine, KeyboardInterrupt):
    """The run was stopped by the person; everything that it held has been freed."""


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error and those that led to it, the newest first, each once."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def first_line(error: BaseException) -> str:
    """The first line of an error's message, at most 160 characters; its type if it has none."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:160]


def plain_line(text: str) -> str:
    """`text` as one line that shows what it is, cut short: no line ends, colours or directions."""
    shown = "".join(c if _harmless(c) else repr(c)[1:-1] for c in text[:_LONGEST])
    return shown + "…" * (len(text) > _LONGEST)


_LONGEST = 1500


_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def _harmless(c: str) -> bool:
    return c not in _DIRECTIONS and unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp")


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """``" Did you mean 'x'?"`` for the nearest of `choices`, or an empty string."""
    near = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""
