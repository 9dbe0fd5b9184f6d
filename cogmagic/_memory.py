"""Device memory: peaks, and giving it back whatever happens. Never imports torch by itself."""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Callable
from typing import TypeVar

from cogmagic._errors import Cancelled, OutOfMemoryError
from cogmagic._interrupts import interrupts_held
from cogmagic._machine import Machine

__all__ = ["empty_cache", "freeing_frames", "peaks", "reset_peaks"]

Result = TypeVar("Result")


def reset_peaks(machine: Machine) -> None:
    import torch

    if machine.device == "cuda":
        # The counters are not there before CUDA is, which the run is about to start anyway.
        torch.cuda.init()  # type: ignore[no-untyped-call]
        for gpu in machine.gpus:
            torch.cuda.reset_peak_memory_stats(gpu.index)


def peaks(machine: Machine) -> tuple[dict[int, int], dict[int, int]]:
    """Per GPU, the most bytes allocated and reserved since the last reset."""
    import torch

    if machine.device != "cuda":
        return {}, {}
    indices = [g.index for g in machine.gpus]
    return (
        {i: torch.cuda.max_memory_allocated(i) for i in indices},
        {i: torch.cuda.max_memory_reserved(i) for i in indices},
    )


def freeing_frames(run: Callable[[], Result]) -> Result:
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
    with interrupts_held():  # people press twice
        if isinstance(failure, KeyboardInterrupt):
            failure = Cancelled("Stopped; the GPU is free again.")
        elif _is_shortage(failure):
            failure = _explained(failure)
        else:
            _let_go_of_frames(failure)
        empty_cache()
    raise failure


def _let_go_of_frames(failure: BaseException) -> None:
    """Take the traceback off an error, and off those behind it, keeping its text as a note.

    Clearing the frames is not enough: each still holds its function, the function its closure, and
    closures (torch's, in ``Module.__call__``) hold tensors.
    """
    text = "".join(traceback.format_exception(failure))
    failure.add_note(f"Inside the run, whose frames have been let go:\n{text}")
    link: BaseException | None = failure
    while link is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__


def _is_shortage(failure: BaseException) -> bool:
    """Whether memory ran out: torch's allocator, the driver, a CUDA library, MPS or the host."""
    if isinstance(failure, MemoryError) or type(failure).__name__ == "OutOfMemoryError":
        return not isinstance(failure, OutOfMemoryError)
    said = str(failure).lower()
    return isinstance(failure, RuntimeError) and ("out of memory" in said or "alloc_failed" in said)


def _explained(short: BaseException) -> OutOfMemoryError:
    reason = (str(short) or type(short).__name__).splitlines()[0][:160]
    return OutOfMemoryError(
        f"Memory ran out ({reason}). Use --tier sequential if it was another, a smaller --size or"
        " fewer --num-frames."
    )


def empty_cache() -> None:
    """Return freed device memory to the driver."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is None:
        return
    if torch.cuda.is_initialized():
        # cuBLAS keeps 32 MiB per stream on recent GPUs; torch gives it back only when told so.
        torch._C._cuda_clearCublasWorkspaces()
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()
