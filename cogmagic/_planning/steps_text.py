"""A request's steps and its preset in words, for plans."""

from __future__ import annotations

from cogmagic._models.chunks import chunk_count, chunk_of
from cogmagic._models.request import Request
from cogmagic._units import seconds

__all__ = ["preset_text", "steps_text"]


_SHOWN = 8
"""Timesteps that are listed; more are cut."""


def steps_text(request: Request) -> str:
    """Steps, scheduler, chosen timesteps and guidance; and the chunks of a long clip."""
    chosen = ", ".join(map(str, request.timesteps[:_SHOWN]))
    more = ", …" * (len(request.timesteps) > _SHOWN)
    at = f" at {chosen}{more}" if chosen else ""
    run = f"{request.denoising_steps} of " if request.strength < 1 else ""
    steps = f"{run}{request.num_inference_steps} steps of {request.scheduler}{at}"
    chunks = chunk_count(request)
    each = f", in {chunks} chunks of {chunk_of(request).num_frames} frames" if chunks > 1 else ""
    return f"{steps}, guidance {request.guidance_scale:g}{_interval(request)}{each}"


def _interval(request: Request) -> str:
    if not request.partly_guided:
        return ""
    first, last = request.guided_steps[0] + 1, request.guided_steps[-1] + 1
    return f" in step {first} only" if first == last else f" in steps {first} to {last} only"


def preset_text(request: Request, total: float | None, plain_total: float | None) -> str:
    """The preset's name and what it saves, in seconds where both are known; '' without a preset.

    Args:
        request: with its preset.
        total: seconds of the run.
        plain_total: seconds of the run without the preset.
    """
    if request.from_preset is None:
        return ""
    plain = request.without_preset()
    steps, plain_steps = request.num_inference_steps, plain.num_inference_steps
    if total is not None and plain_total is not None:
        saving = f"{seconds(total)} instead of {seconds(plain_total)}"
    elif steps != plain_steps:
        saving = f"{steps} steps instead of {plain_steps}"
    else:
        saving = f"{steps} steps, as without it"
    described = request.from_preset.description
    return f"{request.preset}: {saving}" + (f" ({described})" if described else "")
