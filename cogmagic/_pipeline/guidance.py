"""Guidance in halves: the transformer runs for one prompt, then for the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

__all__ = ["guidance_halves"]


_BATCHED = ("hidden_states", "encoder_hidden_states", "timestep")


@contextmanager
def guidance_halves(transformer: nn.Module) -> Iterator[None]:
    """Have `transformer` run on each item of a batch by itself; afterwards it is as it was.

    Args:
        transformer: placed already, so that its hooks see one pass after another.
    """
    import torch

    kind: Any = type(transformer)

    class Halved(kind):  # type: ignore[misc]
        """Not its `forward` is replaced, which diffusers' hooks put back as they found it."""

        def __call__(self, **given: Any) -> tuple[torch.Tensor]:
            found = []
            for i in range(len(given["hidden_states"])):
                part = {name: given[name][i : i + 1] for name in _BATCHED}
                found.append(super().__call__(**given | part)[0])
            return (torch.cat(found),)

    transformer.__class__ = Halved
    try:
        yield
    finally:
        transformer.__class__ = kind
