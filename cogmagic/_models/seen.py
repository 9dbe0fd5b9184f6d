"""What a request's model sees beside the noise: clips to encode, latent frames, windows. Pure."""

from __future__ import annotations

from cogmagic._models.family import VOID_WINDOW, latent_frames, seen_frames, window_spans
from cogmagic._models.request import Request

__all__ = ["encoded_clips", "seen_latents", "window_lengths"]


def encoded_clips(request: Request) -> int:
    """How many clips the VAE encodes.

    For a model that inpaints: the video that it sees, for VOID the mask as well, and where the
    schedule begins later, the video to begin from.
    """
    if not request.model.inpaints:
        return int(request.video is not None)
    redrawn = int(request.strength < 1)
    if request.model.task == "void":
        return 2 + redrawn
    if request.video is not None and request.mask is None:
        return redrawn  # all of it is made new, so it is not seen
    return redrawn + int(bool(request.inputs))


def seen_latents(request: Request) -> int:
    """Latent frames that an inpainting model denoises."""
    model = request.model
    patch = model.architecture.patch_size_t
    return latent_frames(seen_frames(request.num_frames, patch, model.task))


def window_lengths(request: Request) -> tuple[int, ...]:
    """Latent frames of each window in which a video is denoised; of one, where it is not cut."""
    frames = seen_latents(request)
    if request.model.task != "void":
        return (frames,)
    return tuple(stop - start for start, stop in window_spans(frames, VOID_WINDOW))
