"""Failures of a run: out of memory recognised, tensors released that tracebacks keep alive."""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from cogmagic._errors import Cancelled, DeviceError, OutOfMemoryError, causes, first_line
from cogmagic._interrupts import interrupts_ignored
from cogmagic._machine.allocator import empty_cache

__all__ = [
    "drop_tracebacks",
    "is_device_shortage",
    "is_host_shortage",
    "is_shortage",
    "run_releasing_tensors",
]


Result = TypeVar("Result")


def run_releasing_tensors(run: Callable[[], Result]) -> Result:
    """Call `run`; on failure, raise an error that keeps none of the run's tensors alive.

    IPython keeps the last exception with its frames and their variables. So the frames are dropped,
    and the error is raised outside the ``except``, or it would carry the first one as its context.
    """
    try:
        return run()
    except KeyboardInterrupt as interrupt:
        failure: BaseException = interrupt
    except Exception as error:
        failure = error
    with interrupts_ignored():  # people press twice
        if isinstance(failure, KeyboardInterrupt):
            failure = Cancelled("Stopped. The run's memory has been freed.")
        elif is_shortage(failure):
            failure = _out_of_memory(failure)
        elif reason := _lost_gpu(failure):
            failure = DeviceError(
                f"The GPU is in an unrecoverable state ({reason}). Restart the kernel; if it"
                " happens again, check nvidia-smi and the system log."
            )
        else:
            drop_tracebacks(failure)
        with suppress(RuntimeError):  # a lost GPU refuses every call
            empty_cache()
    raise failure


def drop_tracebacks(failure: BaseException) -> None:
    """Drop the tracebacks of an exception chain, which would keep tensors alive.

    Their text stays as a note. Clearing the frames is not enough: each still refers to its
    function, the function to its closure, and closures (torch's, in ``Module.__call__``) to
    tensors.
    """
    text = "".join(traceback.format_exception(failure))
    failure.add_note(f"Traceback of the run, whose frames were dropped to free memory:\n{text}")
    for link in causes(failure):
        link.__traceback__ = None


def _lost_gpu(failure: BaseException) -> str:
    """The error of every CUDA call if the GPU is in an unrecoverable state; else empty."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(failure, RuntimeError) or not torch.cuda.is_initialized():
        return ""
    try:
        torch.cuda.synchronize()
    except RuntimeError as error:
        return first_line(error)
    return ""


def _out_of_memory(failure: BaseException) -> OutOfMemoryError:
    return OutOfMemoryError(
        f"Memory ran out ({first_line(failure)}). Use --tier sequential if the run used another,"
        " a smaller --size or fewer --num-frames."
    )


def is_shortage(failure: BaseException) -> bool:
    """Whether memory ran out: torch's allocator, the driver, a CUDA library, MPS or the host."""
    return is_host_shortage(failure) or is_device_shortage(failure)


def is_device_shortage(failure: BaseException) -> bool:
    """Whether a device's memory ran out, not the host's."""
    if type(failure).__name__ == "OutOfMemoryError":
        return not isinstance(failure, OutOfMemoryError)
    text = str(failure).lower()
    messages = "out of memory", "alloc_failed", "invalid buffer size"  # the last is MPS's
    return isinstance(failure, RuntimeError) and any(m in text for m in messages)


def is_host_shortage(failure: BaseException) -> bool:
    """Whether host memory ran out: for Python, torch's allocator or the system's mappings."""
    return any(
        isinstance(link, MemoryError)
        or (isinstance(link, OSError) and link.errno == errno.ENOMEM)
        or (isinstance(link, RuntimeError | OSError) and _names_host_memory(str(link)))
        for link in causes(failure)  # libraries wrap what they catch
    )


def _names_host_memory(text: str) -> bool:
    return "DefaultCPUAllocator" in text or "cannot allocate memory" in text.lower()
