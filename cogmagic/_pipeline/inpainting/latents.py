"""What an inpainting pipeline gives its transformer: the noise, and the latents beside it.

A clip is converted frame by frame, so that it takes no host memory in float32, and all random
numbers come from the generator: first the noise that is denoised, then that on the video.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers import CogVideoXImageToVideoPipeline
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image

from cogmagic._pipeline.coder_calls import odd_count
from cogmagic._pipeline.inpainting.conditioning import (
    blanked,
    kept_latents,
    three_levels,
    with_noise,
)

__all__ = ["Frames", "InpaintLatents"]


Frames = Sequence[Any]
"""Frames of the same size: uint8, height × width × 3 (RGB), or height × width (a mask)."""

_NEW = 128
"""The level of a mask from which a pixel is made new: the authors' threshold of 0.5."""


class InpaintLatents(CogVideoXImageToVideoPipeline):  # type: ignore[misc]  # diffusers is untyped
    """A pipeline whose transformer sees a video and a mask beside the noise.

    The transformer's channels tell how: with CogVideoX-Fun InP, one channel of mask and the latents
    of the masked video; with VOID, the latents of the mask and those of the whole video.
    """

    def prepare_latents(
        self,
        video: Frames | None,
        num_frames: int,
        size: tuple[int, int],
        dtype: torch.dtype,
        generator: torch.Generator | None,
        timestep: torch.Tensor | None,
    ) -> torch.Tensor:
        """The noise, or with a `timestep` the noisy video: [1, frames, channels, height, width].

        Args:
            video: `num_frames` frames.
            num_frames: 4n - 3 for n latent frames.
            size: height and width in pixels.
            dtype: of the latents.
            generator: of the noise.
            timestep: the first one, where the schedule does not begin with noise alone.
        """
        scale, device = self.vae_scale_factor_spatial, self._execution_device
        frames = (num_frames - 1) // self.vae_scale_factor_temporal + 1
        shape = (1, frames, self.vae.config.latent_channels, *(side // scale for side in size))
        noise: torch.Tensor = randn_tensor(shape, generator=generator, device=device, dtype=dtype)
        if timestep is None or video is None:
            scaled: torch.Tensor = noise * self.scheduler.init_noise_sigma
            return scaled
        latents = self._encoded(self._clip(video, dtype), generator)
        noised: torch.Tensor = self.scheduler.add_noise(latents, noise, timestep)
        return noised

    def prepare_conditioning(
        self,
        video: Frames | None,
        mask_video: Frames | None,
        latents: torch.Tensor,
        generator: torch.Generator | None,
        noise_aug_strength: float,
    ) -> torch.Tensor:
        """What the transformer sees beside the noise: [1, frames, channels, height, width].

        Zeros where everything is made new, as in the authors' training.

        Args:
            video: the frames; None without any.
            mask_video: a mask for each; None for everywhere.
            latents: those that are denoised.
            generator: of the noise on the video.
            noise_aug_strength: its standard deviation.
        """
        frames, channels, height, width = latents.shape[1:]
        beside, dtype = self.transformer.config.in_channels - channels, latents.dtype
        whole = beside == 2 * channels  # VOID
        if video is None or mask_video is None or not (whole or _keeps_any(mask_video)):
            return latents.new_zeros((1, frames, beside, height, width))
        if whole:
            mask = self._encoded(self._clip(mask_video, dtype, _as_void_sees))
        else:
            kept = kept_latents(_new(mask_video), (frames, height, width))
            mask = self._scaled(kept.to(latents.device, dtype))
        noisy = getattr(self.transformer.config, "add_noise_in_inpaint_model", False)

        def changed(pixels: torch.Tensor, i: int) -> torch.Tensor:
            if not whole:
                pixels = blanked(pixels, _new(mask_video[i : i + 1]))
            return with_noise(pixels, noise_aug_strength, generator) if noisy else pixels

        return torch.cat([mask, self._encoded(self._clip(video, dtype, changed))], dim=2)

    def _clip(
        self,
        frames: Frames,
        dtype: torch.dtype,
        change: Callable[[torch.Tensor, int], torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """The frames in -1..1, changed one by one in float32: [1, 3, frames, height, width]."""
        height, width = frames[0].shape[:2]
        clip = torch.empty((1, 3, len(frames), height, width), dtype=dtype)
        for i, frame in enumerate(frames):
            image = Image.fromarray(frame).convert("RGB")
            pixels: torch.Tensor = self.video_processor.preprocess(image)[:, :, None]
            clip[:, :, i : i + 1] = change(pixels, i) if change else pixels
        return clip

    def _encoded(
        self, clip: torch.Tensor, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """Scaled latents: sampled with a generator, else the most likely ones."""
        posterior = self.vae.encode(clip.to(self._execution_device)).latent_dist
        return self._scaled(posterior.sample(generator) if generator else posterior.mode())

    def _scaled(self, encoded: torch.Tensor) -> torch.Tensor:
        """Times the VAE's factor, whatever ``invert_scale_latents`` says; frames come second."""
        scaled: torch.Tensor = encoded.permute(0, 2, 1, 3, 4) * self.vae_scaling_factor_image
        return scaled

    def decode_latents(self, latents: torch.Tensor) -> torch.Tensor:
        """The clip of the latents: [batch, 3, 4 * frames - 3, height, width]."""
        frames = (latents.shape[1] - 1) * self.vae_scale_factor_temporal + 1
        clip: torch.Tensor = super().decode_latents(odd_count(latents))[:, :, :frames]
        return clip


def _keeps_any(masks: Frames) -> bool:
    return any(bool((mask < _NEW).any()) for mask in masks)


def _new(masks: Frames) -> torch.Tensor:
    """Masks as 1 where the video is made new: [1, 1, frames, height, width]."""
    return torch.stack([torch.as_tensor(mask >= _NEW) for mask in masks])[None, None]


def _as_void_sees(pixels: torch.Tensor, _: int) -> torch.Tensor:
    """A mask in 0..1, 1 where the video is kept, of pixels in -1..1."""
    return 1.0 - three_levels((pixels + 1) / 2)
