"""What training relies on, kept aside while something else runs and put back as it was."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

__all__ = ["evaluation_mode", "restored_attributes", "restored_random_state"]


@contextmanager
def restored_random_state() -> Iterator[None]:
    """The states of Python's, NumPy's and torch's generators, on every device, are kept."""
    import numpy as np
    import torch

    python, numpy, host = random.getstate(), np.random.get_state(), torch.get_rng_state()
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(host)
        if gpus:
            torch.cuda.set_rng_state_all(gpus)
        if mps is not None:
            torch.mps.set_rng_state(mps)


@contextmanager
def evaluation_mode(modules: Iterable[nn.Module]) -> Iterator[None]:
    """All in evaluation mode, each part back in its own mode afterwards."""
    parts = [part for module in modules for part in module.modules()]
    modes = [part.training for part in parts]
    try:
        for part in parts:
            part.training = False
        yield
    finally:
        for part, mode in zip(parts, modes, strict=True):
            part.training = mode


@contextmanager
def restored_attributes(*wanted: tuple[Any, str]) -> Iterator[None]:
    """Attributes that a run changes are put back."""
    with ExitStack() as undo:
        for owner, name in wanted:
            undo.callback(setattr, owner, name, getattr(owner, name))
        yield
