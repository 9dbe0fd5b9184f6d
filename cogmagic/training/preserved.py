"""State that training relies on, restored after something else has run."""

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
    """Restore the states of Python's, NumPy's and torch's generators, on every device."""
    import numpy as np
    import torch

    python, numpy = random.getstate(), np.random.get_state()
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    # fork_rng cannot save the generator of MPS.
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    with torch.random.fork_rng(gpus):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
            if mps is not None:
                torch.mps.set_rng_state(mps)


@contextmanager
def evaluation_mode(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Put all modules into evaluation mode; restore the mode of each submodule afterwards."""
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
def restored_attributes(*attributes: tuple[Any, str]) -> Iterator[None]:
    """Restore the attributes, each given as (owner, name)."""
    with ExitStack() as undo:
        for owner, name in attributes:
            undo.callback(setattr, owner, name, getattr(owner, name))
        yield
