"""The pipeline that a request runs, and its arguments beside those that all have."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from cogmagic._models.fitting import fitted
from cogmagic._models.request import Request
from cogmagic._pipeline.coder_calls import after_calls
from cogmagic._pipeline.finite import FiniteCheck
from cogmagic._pipeline.inpainting.inputs import encoding_inpainted, inpaint_inputs
from cogmagic._pipeline.video_to_video import encoding_clip, video_inputs, video_to_video
from cogmagic._progress import Clock

if TYPE_CHECKING:
    import numpy as np
    import torch

    Array = np.ndarray[Any, Any]

__all__ = ["run_of"]


def run_of(
    pipe: Any,
    request: Request,
    clip: Array | None,
    mask: Array | None,
    dtype: torch.dtype,
    clock: Clock,
    finite: FiniteCheck,
    begin: Callable[[], None],
) -> tuple[Any, dict[str, Any], AbstractContextManager[None]]:
    """The pipeline to call, its arguments, and a context in which to call it.

    Args:
        pipe: placed on its device.
        request: what to generate.
        clip: the video to begin from, or for a model that inpaints, the frames that it sees.
        mask: the part of it that such a model makes new.
        dtype: of the prompt embeddings.
        clock: receives the phase of encoding, if there is one.
        finite: checks what the encoder computes.
        begin: begins the phase of denoising.
    """

    def after_image(moments: torch.Tensor) -> None:
        finite(moments, "For the first frame, the VAE computed")

    if request.model.inpaints:
        inputs = inpaint_inputs(request, clip, mask)
        return pipe, inputs, encoding_inpainted(pipe, inputs, request, clock, finite, begin)
    if clip is not None:
        run, inputs = video_to_video(pipe, dtype), video_inputs(pipe, request, clip)
        frames = len(inputs["video"])
        return run, inputs, encoding_clip(run, frames, request, clock, finite, begin)
    begin()
    inputs = {"num_frames": request.num_frames}
    if request.image is not None:
        inputs["image"] = fitted(request.image, (request.width, request.height), request.fit)
    return pipe, inputs, after_calls(pipe.vae.encoder, after_image)
