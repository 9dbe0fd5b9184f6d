"""The condition of CogVideoX-Fun's inpainting models, as latents."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKLCogVideoX

from cogmagic._pipeline.inpainting.conditioning import blanked, kept_latents, with_noise


@torch.no_grad()
def condition(
    vae: AutoencoderKLCogVideoX,
    video: torch.Tensor,
    mask: torch.Tensor,
    sigma: float | torch.Tensor,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """The mask's and the blanked video's latents, [B, F, 1 + C, H, W]; zeros if nothing is kept.

    Args:
        vae: the autoencoder.
        video: clips [B, 3, frames, height, width] in -1..1.
        mask: [B, 1, frames, height, width], 1 where the clip is made new and 0 where it is kept.
        sigma: standard deviation of the noise on kept pixels, one for all or [B].
        generator: of the noise.
    """
    pixels = with_noise(blanked(video, mask), sigma, generator)
    latents = vae.encode(pixels.to(vae.dtype)).latent_dist.mode().float()
    both = torch.cat([kept_latents(mask, latents.shape[2:]), latents], dim=1)
    kept = (mask < 0.5).flatten(1).any(dim=1)[:, None, None, None, None]
    return both.permute(0, 2, 1, 3, 4) * vae.config.scaling_factor * kept
