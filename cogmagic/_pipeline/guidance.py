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
    """Run `transformer` on each item of a batch separately; restore it afterwards.

    Args:
        transformer: already placed, so that its hooks see one pass after another.
    """
    import torch

    original: Any = type(transformer)

    class Halved(original):  # type: ignore[misc]
        """Overrides `__call__`, because diffusers' hooks save and restore `forward`."""

        def __call__(self, **inputs: Any) -> tuple[torch.Tensor]:
            outputs = []
            for i in range(len(inputs["hidden_states"])):
                item = {name: inputs[name][i : i + 1] for name in _BATCHED}
                outputs.append(super().__call__(**inputs | item)[0])
            return (torch.cat(outputs),)

    transformer.__class__ = Halved
    try:
        yield
    finally:
        transformer.__class__ = original
