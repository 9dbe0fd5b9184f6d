"""Guidance in halves, or in some steps only: which prompts the transformer runs for, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

from cogmagic._models.chunks import chunk_count
from cogmagic._models.request import Request

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["calls_replaced", "guidance_halves", "guidance_interval", "item", "step_work"]


_BATCHED = ("hidden_states", "encoder_hidden_states", "timestep")


def guidance_halves(transformer: nn.Module) -> AbstractContextManager[None]:
    """Run `transformer` on each item of a batch separately; restore it afterwards.

    Args:
        transformer: already placed, so that its hooks see one pass after another.
    """

    def call(run: Any, **inputs: Any) -> tuple[torch.Tensor]:
        import torch

        size = len(inputs["hidden_states"])
        return (torch.cat([run(**item(inputs, i))[0] for i in range(size)]),)

    return calls_replaced(transformer, call)


def guidance_interval(transformer: nn.Module, guided: range) -> AbstractContextManager[None]:
    """Run `transformer` in other steps than `guided` for the prompt alone; restore it afterwards.

    The pipeline then receives the prompt's prediction twice. Their difference is 0, so that
    guidance of any scale returns the prediction itself, bit for bit.

    Args:
        transformer: with all other calls replaced already. The pipeline calls it once a step.
        guided: the steps with guidance, counted from 0.
    """
    step = count()

    def call(run: Any, **inputs: Any) -> tuple[torch.Tensor]:
        if next(step) in guided:
            both: tuple[torch.Tensor] = run(**inputs)
            return both
        prompt = run(**item(inputs, 1))[0]  # item 0 is the negative prompt
        return (prompt.expand(2, *prompt.shape[1:]),)

    return calls_replaced(transformer, call)


def step_work(request: Request, halves_apart: bool) -> tuple[int, ...]:
    """Videos that each step computes; empty where all steps take equally long.

    Args:
        request: what to generate.
        halves_apart: whether each half of guidance has ranks of its own.
    """
    if not request.partly_guided or halves_apart:
        return ()
    steps = range(request.denoising_steps)
    return chunk_count(request) * tuple(1 + (step in request.guided_steps) for step in steps)


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
