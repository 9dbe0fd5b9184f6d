"""The arguments of an inpainting pipeline for a request, and the phase that encodes its clips."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from cogmagic._models.request import Request
from cogmagic._models.seen import encoded_clips, seen_latents
from cogmagic._pipeline.finite import FiniteCheck
from cogmagic._pipeline.video_to_video import encoding_clip
from cogmagic._progress import Clock

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

__all__ = ["encoding_inpainted", "inpaint_inputs", "mirrored"]


def inpaint_inputs(request: Request, clip: Array | None, mask: Array | None) -> dict[str, Any]:
    """The pipeline's arguments for a clip and its mask, with the frames that denoising adds.

    Args:
        request: what to generate.
        clip: uint8 RGB, frames × height × width × 3; None for text alone.
        mask: uint8, frames × height × width; None where all is made new.
    """
    count = 4 * seen_latents(request) - 3
    inputs: dict[str, Any] = {"num_frames": count, "strength": request.strength}
    if clip is not None:
        inputs["video"] = mirrored(clip, count)
    if mask is not None:
        inputs["mask_video"] = mirrored(mask, count)
    return inputs


def mirrored(frames: Array, count: int) -> list[Array]:
    """`count` frames, which run back and forth after the end (VOID's ``temporal_padding``).

    The authors join the frames and their reverse until they are enough, so the last one comes
    twice.
    """
    order = [*range(len(frames))]
    while len(order) < count:
        order += order[::-1]
    return [frames[i] for i in order[:count]]


def encoding_inpainted(
    pipe: Any,
    inputs: Mapping[str, Any],
    request: Request,
    clock: Clock,
    finite: FiniteCheck,
    then: Callable[[], None],
) -> AbstractContextManager[None]:
    """The clock's phase ``encode video``, if there is something to encode."""
    clips = encoded_clips(request)
    if not clips:
        then()
        return nullcontext()
    return encoding_clip(
        pipe,
        inputs["num_frames"],
        request,
        clock,
        finite,
        then,
        until="prepare_conditioning",
        clips=clips,
    )
