"""The command ``cogmagic``: finds the command, runs it, and turns errors into exit codes."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import traceback
from collections.abc import Sequence
from io import TextIOWrapper
from typing import TYPE_CHECKING

from cogmagic._errors import (
    Cancelled,
    CogMagicError,
    OutOfMemoryError,
    OutputError,
    RequestError,
    TierError,
    plain_line,
)
from cogmagic._spelling import as_command, typed_in_cell

if TYPE_CHECKING:
    from cogmagic._video.video import Video

__all__ = ["main"]


_FAILED, _BAD_INPUT, _TOO_LITTLE_MEMORY, _INTERRUPTED = 1, 2, 3, 130
"""Exit codes; 130 is that of shells for SIGINT."""


_IN_MEMORY = re.compile(r"(The video is|Its \d+ new frames are) kept in memory: .*")
"""What an error says of a video that a kernel keeps, and that a command cannot."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and return the exit code.

    Args:
        arguments: the words after ``cogmagic``; those of this process by default.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    _print_what_can_be_encoded()
    try:
        with typed_in_cell():
            code = _run(words)
        print(end="", flush=True)  # sys.stdout is None where the shell has closed it
    except (CogMagicError, Cancelled) as error:
        _print_error(error)
        return _code(error)
    except KeyboardInterrupt:
        print("Cancelled: Stopped.", file=sys.stderr)
        return _INTERRUPTED
    except OSError as error:
        if _can_print():
            return _defect()
        if not isinstance(error, BrokenPipeError):  # which is `cogmagic models | head -1`
            print(f"OutputError: Standard output: {error.strerror}.", file=sys.stderr)
        return _FAILED
    except Exception:
        return _defect()
    return code


def _defect() -> int:
    """Print the traceback of an error that no command expects."""
    traceback.print_exc()
    print(
        "This is a defect of cogmagic. Please report it with the output of:"
        " cogmagic doctor --report",
        file=sys.stderr,
    )
    return _FAILED


def _can_print() -> bool:
    """Whether standard output takes a line end; if not, what is left for it is dropped."""
    try:
        print(flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes at its end
        return False
    return True


def _print_what_can_be_encoded() -> None:
    """Print ``?`` for characters such as ``→`` where the streams cannot encode them (Windows)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and not stream.encoding.lower().startswith("utf"):
            stream.reconfigure(errors="replace")


def _run(words: Sequence[str]) -> int:
    from cogmagic._cli.parser import command_of, complete

    complete()
    command, options = command_of(words)
    return command.run(options) if command else 0


def _code(error: CogMagicError | Cancelled) -> int:
    if isinstance(error, Cancelled):
        return _INTERRUPTED
    if isinstance(error, RequestError):
        return _BAD_INPUT
    return _TOO_LITTLE_MEMORY if isinstance(error, TierError | OutOfMemoryError) else _FAILED


def _print_error(error: CogMagicError | Cancelled) -> None:
    """Print one line on stderr; the whole traceback where ``COGMAGIC_TRACEBACK=1`` asks for it."""
    if os.environ.get("COGMAGIC_TRACEBACK") == "1":
        traceback.print_exception(error)
    text = str(error)
    if isinstance(error, OutputError) and (video := _unsaved()):
        text = _IN_MEMORY.sub(lambda _: _rescued(video), text)
    print(f"{type(error).__name__}: {as_command(text)}", file=sys.stderr)


def _unsaved() -> Video | None:
    """The video that could not be written, if one was made."""
    module = sys.modules.get("cogmagic._session.session")
    return module.session().unsaved if module else None


def _rescued(video: Video) -> str:
    """Where a video that could not be written is now: it would end with this process."""
    folder = tempfile.gettempdir()
    try:
        return f"The video is in {plain_line(str(video.save(folder).path))}."
    except OutputError as error:
        return f"It is lost, because {folder} cannot be written either ({error})."
