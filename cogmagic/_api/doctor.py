"""`doctor`: the checks of this machine, and how to fix each problem."""

from __future__ import annotations

from cogmagic._doctor.diagnosis import Diagnosis, results
from cogmagic._doctor.surroundings import Surroundings
from cogmagic._errors import Cancelled

__all__ = ["doctor"]


def doctor(*, quick: bool = False) -> Diagnosis:
    """Check this machine: Python, Jupyter, torch, GPUs, memory, disks, checkpoints, network limits.

    Nothing is sent or written, and no CUDA context is created in this process: what needs torch
    runs in another one.

    Args:
        quick: whether to leave that out.

    Returns:
        The results, each ``ok``, ``warn`` or ``fail`` with how to fix it; `Diagnosis.report` is
        text for a bug report.

    Raises:
        Cancelled: when interrupted.
    """
    try:
        here = Surroundings.read()
        return Diagnosis.of(here, tuple(results(here, quick=quick)))
    except KeyboardInterrupt:
        raise Cancelled("Stopped before the last check.") from None
