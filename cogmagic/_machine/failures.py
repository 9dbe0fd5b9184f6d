"""What a failed run leaves behind, and which failures are memory that ran out."""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from cogmagic._errors import Cancelled, DeviceError, OutOfMemoryError, causes, first_line
from cogmagic._interrupts import interrupts_ignored
from cogmagic._machine.memory import empty_cache

__all__ = [
    "drop_tracebacks",
    "is_device_shortage",
    "is_host_shortage",
    "is_shortage",
    "run_releasing_tensors",
]


Result = TypeVar("Result")


def run_releasing_tensors(run: Callable[[], Result]) -> Result:
    """Run; on failure, raise an error that keeps none of the run's tensors alive.

    IPython keeps the last exception, its frames and all that they hold. So the frames are let go,
    and what is raised is raised outside the ``except``, or it would carry the first as context.
    """
    try:
        return run()
    except KeyboardInterrupt as stopped:
        failure: BaseException = stopped
    except Exception as error:
        failure = error
    with interrupts_ignored():  # people press twice
        if isinstance(failure, KeyboardInterrupt):
            failure = Cancelled("Stopped; the GPU is free again.")
        elif is_shortage(failure):
            failure = _explained(failure)
        elif lost := _lost(failure):
            failure = DeviceError(
                f"The GPU has failed ({lost}), and this kernel cannot use it any more. Restart the"
                " kernel; if it happens again, see what nvidia-smi and the system's log say."
            )
        else:
            drop_tracebacks(failure)
        with suppress(RuntimeError):  # what a lost GPU says to everything
            empty_cache()
    raise failure


def drop_tracebacks(failure: BaseException) -> None:
    """Take the traceback off an error, and off those behind it, keeping its text as a note.

    Clearing the frames is not enough: each still holds its function, the function its closure, and
    closures (torch's, in ``Module.__call__``) hold tensors.
    """
    text = "".join(traceback.format_exception(failure))
    failure.add_note(f"Inside the run, whose frames have been let go:\n{text}")
    for link in causes(failure):
        link.__traceback__ = None


def _lost(failure: BaseException) -> str:
    """What the GPU says to everything since an error that CUDA does not get over; else empty."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(failure, RuntimeError) or not torch.cuda.is_initialized():
        return ""
    try:
        torch.cuda.synchronize()
    except RuntimeError as error:
        return first_line(error)
    return ""


def _explained(short: BaseException) -> OutOfMemoryError:
    return OutOfMemoryError(
        f"Memory ran out ({first_line(short)}). Use --tier sequential if it was another, a"
        " smaller --size or fewer --num-frames."
    )


def is_shortage(failure: BaseException) -> bool:
    """Whether memory ran out: torch's allocator, the driver, a CUDA library, MPS or the host."""
    return is_host_shortage(failure) or is_device_shortage(failure)


def is_device_shortage(failure: BaseException) -> bool:
    """Whether a device's memory ran out, not the host's."""
    if type(failure).__name__ == "OutOfMemoryError":
        return not isinstance(failure, OutOfMemoryError)
    said = str(failure).lower()
    return isinstance(failure, RuntimeError) and ("out of memory" in said or "alloc_failed" in said)


def is_host_shortage(failure: BaseException) -> bool:
    """Whether host memory ran out: for Python, torch's allocator or the system's mappings."""
    return any(
        isinstance(link, MemoryError)
        or (isinstance(link, OSError) and link.errno == errno.ENOMEM)
        or (isinstance(link, RuntimeError | OSError) and _says_host_memory(str(link)))
        for link in causes(failure)  # libraries wrap what they catch
    )


def _says_host_memory(said: str) -> bool:
    return "DefaultCPUAllocator" in said or "cannot allocate memory" in said.lower()
