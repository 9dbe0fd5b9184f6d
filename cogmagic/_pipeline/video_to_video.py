"""Video to video: diffusers' own pipeline around the components of a placed pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cogmagic._models.family import encoded_frames
from cogmagic._models.request import Request
from cogmagic._pipeline.coder_calls import counted_calls, encoder_calls
from cogmagic._pipeline.finite import FiniteCheck
from cogmagic._progress import Clock

if TYPE_CHECKING:
    import numpy as np
    import torch

__all__ = ["encoding_clip", "video_inputs", "video_to_video"]


def video_to_video(pipe: Any, dtype: torch.dtype) -> Any:
    """A ``CogVideoXVideoToVideoPipeline`` of the components of `pipe`, where they are.

    A tier's hooks are on the components, so they work here, too.

    Args:
        pipe: placed on its device.
        dtype: of the prompt embeddings, to which diffusers converts the clip.
    """
    from diffusers import CogVideoXVideoToVideoPipeline

    made = CogVideoXVideoToVideoPipeline(**pipe.components)
    made.progress_bar = pipe.progress_bar
    made.video_processor = _FrameByFrame(made.video_processor, dtype)
    return made


class _FrameByFrame:
    """A video processor that needs no more host memory than the clip takes in one dtype.

    diffusers' own makes three copies in float32, 1 GiB each for a clip of CogVideoX 1.5.

    Args:
        processor: diffusers' own, which converts each frame.
        dtype: of the clip.
    """

    def __init__(self, processor: Any, dtype: torch.dtype) -> None:
        self._processor, self._dtype = processor, dtype

    def preprocess_video(self, video: list[Any], height: int, width: int) -> torch.Tensor:
        """Frames (uint8 RGB) in -1..1: [1, 3, frames, height, width]."""
        import torch
        from PIL import Image

        clip = torch.empty((1, 3, len(video), height, width), dtype=self._dtype)
        for i, frame in enumerate(video):
            image = Image.fromarray(frame)
            clip[0, :, i] = self._processor.preprocess(image, height=height, width=width)[0]
        return clip


def video_inputs(pipe: Any, request: Request, clip: np.ndarray[Any, Any]) -> dict[str, Any]:
    """The pipeline's arguments for a clip (uint8 RGB, frames × height × width × 3).

    CogVideoX 1.5 denoises its latent frames in pairs, and was trained with a copy of the first one
    in front of an odd number (zai-org/CogVideo, ``finetune``), which is dropped at the end. So the
    first frame is repeated as often as a latent frame takes; diffusers refuses an odd number.
    """
    missing = encoded_frames(len(clip), pipe.transformer.config.patch_size_t) - len(clip)
    return {"video": [clip[0]] * missing + list(clip), "strength": request.strength}


@contextmanager
def encoding_clip(
    run: Any,
    frames: int,
    request: Request,
    clock: Clock,
    finite: FiniteCheck,
    then: Callable[[], None],
    *,
    until: str = "prepare_latents",
    clips: int = 1,
) -> Iterator[None]:
    """The clock's phase ``encode video``, until the pipeline has its latents.

    Args:
        run: the pipeline, before it is called.
        frames: of the clip that it encodes.
        request: what to generate.
        clock: receives a step for each call of the encoder.
        finite: checks each call's output.
        then: begins the next phase.
        until: the pipeline's method after which all is encoded.
        clips: how many clips of that size it encodes.
    """
    total = clips * encoder_calls(run.vae, frames, request.height, request.width)
    prepare = getattr(run, until)

    def prepared(*args: Any, **options: Any) -> torch.Tensor:
        latents: torch.Tensor = prepare(*args, **options)
        then()
        return latents

    setattr(run, until, prepared)
    clock.phase("encode video", total)
    try:
        with counted_calls(run.vae, "encoder", total, clock, finite):
            yield
    finally:
        del vars(run)[until]
