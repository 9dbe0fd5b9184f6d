"""What can go wrong, as one tree.

    CogMagicError
    ├── RequestError      a wish that the model cannot fulfil (also a ValueError)
    ├── CheckpointError   a model that is missing, half there, or not CogVideoX
    ├── TierError         a placement that this machine cannot do
    ├── OutOfMemoryError  the run needed more memory than there was
    ├── OutputError       a video that cannot be written
    └── BusyError         a generation is already running in this kernel
    Cancelled             the person stopped the run (a KeyboardInterrupt)

Every message says what happened, with its numbers, and what to type next. In IPython each shows as
that one line; ``%config CogMagic.short_errors = False`` brings the traceback back.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "BusyError",
    "Cancelled",
    "CheckpointError",
    "CogMagicError",
    "OutOfMemoryError",
    "OutputError",
    "RequestError",
    "TierError",
]


class _OneLine:
    """Renders an exception as one line; IPython looks for ``_render_traceback_``."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class CogMagicError(_OneLine, Exception):
    """Base of everything that cogmagic raises on purpose."""


class RequestError(CogMagicError, ValueError):
    """The request is not one that the model can fulfil."""


class CheckpointError(CogMagicError):
    """The model is missing, incomplete, or not a CogVideoX pipeline."""


class TierError(CogMagicError):
    """The tier cannot be used on this machine."""


class OutOfMemoryError(CogMagicError):
    """The run needed more memory than the device had."""


class OutputError(CogMagicError):
    """The video cannot be written where it was asked for."""


class BusyError(CogMagicError):
    """Another generation is running in this kernel."""


class Cancelled(_OneLine, KeyboardInterrupt):
    """The run was stopped by the person; everything that it held has been freed."""


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """``" Did you mean 'x'?"`` for the nearest of `choices`, or an empty string."""
    near = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""
