"""Guidance in halves: the transformer runs for one prompt, then for the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["calls_replaced", "guidance_halves", "item"]


_BATCHED = ("hidden_states", "encoder_hidden_states", "timestep")


def guidance_halves(transformer: nn.Module) -> AbstractContextManager[None]:
    """Run `transformer` on each item of a batch separately; restore it afterwards.

    Args:
        transformer: already placed, so that its hooks see one pass after another.
    """

    def call(run: Any, **inputs: Any) -> tuple[torch.Tensor]:
        import torch

        count = len(inputs["hidden_states"])
        return (torch.cat([run(**item(inputs, i))[0] for i in range(count)]),)

    return calls_replaced(transformer, call)


def item(inputs: Mapping[str, Any], i: int) -> dict[str, Any]:
    """The transformer's inputs for item `i` of a batch."""
    return {**inputs} | {name: inputs[name][i : i + 1] for name in _BATCHED}


@contextmanager
def calls_replaced(
    transformer: nn.Module, call: Callable[..., tuple[torch.Tensor]]
) -> Iterator[None]:
    """Replace the calls of `transformer`; restore it afterwards.

    Args:
        transformer: placed or not.
        call: gets the call that it replaces, and the inputs by name.
    """
    original: Any = type(transformer)

    class Replaced(original):  # type: ignore[misc]
        """Overrides `__call__`, because diffusers' hooks save and restore `forward`."""

        def __call__(self, **inputs: Any) -> tuple[torch.Tensor]:
            return call(super().__call__, **inputs)

    transformer.__class__ = Replaced
    try:
        yield
    finally:
        transformer.__class__ = original
