"""What inpainting transformers see beside the noise: masked video and mask, as latents.

The formulas are those of the authors' pipelines: CogVideoX-Fun (aigc-apps/VideoX-Fun,
``pipeline_cogvideox_fun_inpaint.py``) and VOID (Netflix/void-model, the same file). Videos are
[batch, 3, frames, height, width] in -1..1, masks [batch, 1, frames, height, width], 1 where the
model is to make something new.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["NOISE", "blanked", "kept_latents", "three_levels", "with_noise"]


NOISE = 0.0563
"""Standard deviation of the noise on the video: ``noise_aug_strength`` of the authors' pipelines.
In training it is drawn for each clip, as ``exp(N(-3, 0.5))``."""


def blanked(video: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The video with black, -1, where the mask is 1."""
    return video.masked_fill(mask > 0.5, -1.0)


def with_noise(
    video: torch.Tensor,
    strength: float | torch.Tensor = NOISE,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """The video with noise, except where it is black, and therefore where it is `blanked`.

    Args:
        video: float32, [batch, 3, frames, height, width].
        strength: standard deviation, one for all or [batch].
        generator: of the noise, which is drawn on the generator's device.
    """
    import torch

    device = generator.device if generator else video.device
    noise = torch.randn(video.shape, generator=generator, device=device, dtype=video.dtype)
    scale = torch.as_tensor(strength, dtype=video.dtype).reshape(-1, 1, 1, 1, 1)
    noise = noise.to(video.device) * scale.to(video.device)
    return video + noise.masked_fill(video == -1, 0.0)


def kept_latents(mask: torch.Tensor, size: tuple[int, int, int]) -> torch.Tensor:
    """How much of each latent is kept, from 0 to 1: [batch, 1, frames, height, width].

    The first frame is resized alone, and then four frames at a time, as the VAE encodes them. That
    equals the authors' ``resize_mask``, trilinear without antialiasing: of 8 × 8 pixels and 4
    frames, the 2 × 2 × 2 in the middle count. The pipeline multiplies by the VAE's scaling factor.

    Args:
        mask: of ``4 * (frames - 1) + 1`` frames.
        size: frames, height and width of the latents.
    """
    import torch
    from torch.nn.functional import interpolate

    frames, height, width = size
    parts = [mask[:, :, :1], *(mask[:, :, 4 * i - 3 : 4 * i + 1] for i in range(1, frames))]
    return torch.cat(
        [interpolate(1.0 - part.float(), (1, height, width), mode="trilinear") for part in parts],
        dim=2,
    )


def three_levels(mask: torch.Tensor) -> torch.Tensor:
    """A mask of VOID as its first pass takes it: 0 keep, 127/255 affected, 1 remove.

    The authors' script joins the overlap (192/255) to what is removed (``use_trimask``).
    """
    import torch

    level = torch.where(mask > 0.75, 1.0, torch.where(mask < 0.25, 0.0, 127 / 255))
    return level.to(mask.dtype)
