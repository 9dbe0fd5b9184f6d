"""Long videos in overlapping windows: the transformer sees some latent frames at a time.

VOID's authors denoise every window of a step and average the results, with linear ramps where
windows overlap (Netflix/void-model, "temporal multidiffusion"). A step of DDIM and of DPM-Solver++
is linear in the prediction, and all windows begin with the same latents, so here the predictions
are averaged: the same in exact arithmetic, with one step of the scheduler instead of one for each
window.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from cogmagic._models.chunks import chunk_of
from cogmagic._models.family import VOID_OVERLAP, window_spans
from cogmagic._models.request import Request
from cogmagic._models.seen import window_lengths
from cogmagic._pipeline.guidance import calls_replaced

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["in_windows", "weights_of", "window_count"]


def in_windows(transformer: nn.Module, request: Request) -> AbstractContextManager[None]:
    """Run `transformer` window by window, where its model does; restore it afterwards.

    Args:
        transformer: placed, with the replacements of its calls that are to see one window.
        request: what to generate.
    """
    return calls_replaced(transformer, _call) if request.model.task == "void" else nullcontext()


def window_count(request: Request) -> int:
    """In how many windows a request's video is denoised, or each chunk of it."""
    return len(window_lengths(chunk_of(request))) if request.model.task == "void" else 1


def _call(run: Any, **inputs: Any) -> tuple[torch.Tensor]:
    import torch

    latents = inputs["hidden_states"]
    spans = window_spans(latents.shape[1])
    if len(spans) == 1:
        whole: tuple[torch.Tensor] = run(**inputs)
        return whole
    total, weight = None, torch.zeros(latents.shape[1], device=latents.device)
    for start, stop in spans:
        part = latents[:, start:stop]
        rotary = _positions(inputs["image_rotary_emb"], latents.shape, stop - start)
        predicted = run(**inputs | {"hidden_states": part, "image_rotary_emb": rotary})[0]
        if total is None:
            total = predicted.new_zeros(
                (*latents.shape[:2], *predicted.shape[2:]), dtype=torch.float32
            )
        share = weights_of(start, stop, latents.shape[1]).to(latents.device)
        total[:, start:stop] += predicted * share[:, None, None, None]
        weight[start:stop] += share
    assert total is not None  # noqa: S101 - there is a window
    return ((total / weight[:, None, None, None]).to(latents.dtype),)


def weights_of(start: int, stop: int, frames: int) -> torch.Tensor:
    """The weight of each latent frame of a window: 1, with ramps where others overlap it.

    Args:
        start: the window's first latent frame.
        stop: the one after its last.
        frames: all latent frames.
    """
    import torch

    weights = torch.ones(stop - start)
    ramp = torch.linspace(0.0, 1.0, VOID_OVERLAP + 2)[1:-1]
    if start > 0:
        weights[:VOID_OVERLAP] = ramp
    if stop < frames:
        weights[-VOID_OVERLAP:] = ramp.flip(0)
    return weights


def _positions(rotary: Any, shape: torch.Size, frames: int) -> Any:
    """The positions of a window, which count its frames from 0: the first ones of the whole."""
    if rotary is None:
        return None
    tokens = len(rotary[0]) * frames // shape[1]
    return tuple(table[:tokens] for table in rotary)
