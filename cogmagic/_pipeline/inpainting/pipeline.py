"""Inpainting with CogVideoX-Fun and VOID on the parts of diffusers, which has no pipeline for it.

The class has the form of ``CogVideoXImageToVideoPipeline``, whose methods it takes where they are
the same, and the formulas of the authors' ``CogVideoXFunInpaintPipeline`` (aigc-apps/VideoX-Fun and
Netflix/void-model).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from diffusers import CogVideoXDPMScheduler
from diffusers.pipelines.cogvideo.pipeline_cogvideox_image2video import retrieve_timesteps
from diffusers.pipelines.cogvideo.pipeline_output import CogVideoXPipelineOutput

from cogmagic._pipeline.inpainting.conditioning import NOISE
from cogmagic._pipeline.inpainting.latents import Frames, InpaintLatents

__all__ = ["CogVideoXFunInpaintPipeline"]


class CogVideoXFunInpaintPipeline(InpaintLatents):
    """Text-guided inpainting: a mask says which part of a video is made new."""

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | None = None,
        negative_prompt: str | None = None,
        video: Frames | None = None,
        mask_video: Frames | None = None,
        height: int | None = None,
        width: int | None = None,
        num_frames: int = 49,
        num_inference_steps: int = 50,
        timesteps: list[int] | None = None,
        strength: float = 1.0,
        noise_aug_strength: float = NOISE,
        guidance_scale: float = 6.0,
        use_dynamic_cfg: bool = False,
        eta: float = 0.0,
        generator: torch.Generator | None = None,
        latents: torch.Tensor | None = None,
        prompt_embeds: torch.Tensor | None = None,
        negative_prompt_embeds: torch.Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        attention_kwargs: dict[str, Any] | None = None,
        callback_on_step_end: Callable[..., dict[str, Any]] | None = None,
        callback_on_step_end_tensor_inputs: tuple[str, ...] = ("latents",),
        max_sequence_length: int = 226,
    ) -> Any:
        """One video, by the arguments of ``CogVideoXImageToVideoPipeline`` and these.

        Args:
            prompt: what the video shows; for VOID, the scene without what is removed.
            negative_prompt: what it does not show.
            video: `num_frames` frames of `height` × `width`; None for text alone.
            mask_video: a mask for each, 255 where the video is made new, else 0; for VOID, in the
                levels of `cogmagic._models.masks.levels`. None for everywhere.
            height: pixels.
            width: pixels.
            num_frames: 4n - 3; n is even where the transformer takes latent frames in pairs.
            num_inference_steps: of the whole schedule.
            timesteps: those of a scheduler that takes some.
            strength: the share of the steps that run, from the video with noise; 1 is noise alone.
            noise_aug_strength: standard deviation of the noise on the video that is seen.
            guidance_scale: above 1 with guidance.
            use_dynamic_cfg: whether guidance varies along a cosine.
            eta: of schedulers that take it.
            generator: of all random numbers.
            latents: the noise, [1, n, channels, height / 8, width / 8].
            prompt_embeds: in place of `prompt`.
            negative_prompt_embeds: in place of `negative_prompt`.
            output_type: ``pil``, ``np``, ``pt`` or ``latent``.
            return_dict: whether to return a ``CogVideoXPipelineOutput``, or a tuple.
            attention_kwargs: for the attention processors.
            callback_on_step_end: as in diffusers' pipelines.
            callback_on_step_end_tensor_inputs: the tensors that it gets.
            max_sequence_length: of the prompt, in tokens.
        """
        config, scale = self.transformer.config, self.vae_scale_factor_spatial
        height, width = height or config.sample_height * scale, width or config.sample_width * scale
        self.check_inputs(
            [], prompt, height, width, negative_prompt, callback_on_step_end_tensor_inputs, latents,
            prompt_embeds, negative_prompt_embeds,
        )  # fmt: skip
        self._guidance_scale, self._attention_kwargs = guidance_scale, attention_kwargs
        self._interrupt, device = False, self._execution_device
        guided = guidance_scale > 1.0
        prompt_embeds, negative_prompt_embeds = self.encode_prompt(
            prompt, negative_prompt, guided, 1, prompt_embeds, negative_prompt_embeds,
            max_sequence_length, device,
        )  # fmt: skip
        texts = torch.cat([negative_prompt_embeds, prompt_embeds]) if guided else prompt_embeds
        steps, num_inference_steps = retrieve_timesteps(
            self.scheduler, num_inference_steps, device, timesteps
        )
        steps, num_inference_steps = self.get_timesteps(
            num_inference_steps, steps, strength, device
        )
        self._num_timesteps = len(steps)
        if latents is None:
            first = steps[:1] if strength < 1 else None
            latents = self.prepare_latents(
                video, num_frames, (height, width), texts.dtype, generator, first
            )
        latents = latents.to(device, texts.dtype)
        conditioning = self.prepare_conditioning(
            video, mask_video, latents, generator, noise_aug_strength
        ).expand(len(texts), -1, -1, -1, -1)
        rotary = (
            self._prepare_rotary_positional_embeddings(height, width, latents.size(1), device)
            if config.use_rotary_positional_embeddings
            else None
        )
        extra = self.prepare_extra_step_kwargs(generator, eta)
        previous = None  # of DPM-Solver++
        with self.progress_bar(total=num_inference_steps) as progress_bar:
            for i, t in enumerate(steps):
                if self.interrupt:
                    continue
                self._current_timestep = t
                noise = self._predicted(latents, conditioning, texts, t, rotary)
                if use_dynamic_cfg:
                    share = ((num_inference_steps - t.item()) / num_inference_steps) ** 5.0
                    self._guidance_scale = 1 + guidance_scale * (1 - math.cos(math.pi * share)) / 2
                before = steps[i - 1] if i else None
                latents, previous = self._stepped(noise, latents, previous, (before, t), extra)
                if callback_on_step_end is not None:
                    known = {"latents": latents, "prompt_embeds": texts}
                    known |= {"negative_prompt_embeds": negative_prompt_embeds}
                    given = {name: known[name] for name in callback_on_step_end_tensor_inputs}
                    latents = callback_on_step_end(self, i, t, given).pop("latents", latents)
                progress_bar.update()
        self._current_timestep = None
        result = latents
        if output_type != "latent":
            clip = self.decode_latents(latents)
            result = self.video_processor.postprocess_video(video=clip, output_type=output_type)
        self.maybe_free_model_hooks()
        return CogVideoXPipelineOutput(frames=result) if return_dict else (result,)

    def _predicted(
        self,
        latents: torch.Tensor,
        conditioning: torch.Tensor,
        texts: torch.Tensor,
        t: torch.Tensor,
        rotary: Any,
    ) -> torch.Tensor:
        """The transformer's prediction for each text, in float32."""
        inputs = torch.cat([latents] * len(texts)) if len(texts) > 1 else latents
        inputs = torch.cat([self.scheduler.scale_model_input(inputs, t), conditioning], dim=2)
        predicted: torch.Tensor = self.transformer(
            hidden_states=inputs,
            encoder_hidden_states=texts,
            timestep=t.expand(len(texts)),
            image_rotary_emb=rotary,
            attention_kwargs=self.attention_kwargs,
            return_dict=False,
        )[0]
        return predicted.float()

    def _stepped(
        self,
        noise: torch.Tensor,
        latents: torch.Tensor,
        previous: torch.Tensor | None,
        timesteps: tuple[torch.Tensor | None, torch.Tensor],
        extra: dict[str, Any],
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The latents of the next step, and what DPM-Solver++ keeps for it.

        Args:
            noise: predicted for each text; with guidance, for the negative one first.
            latents: of this step.
            previous: what the step before has kept.
            timesteps: that of the step before, and this one.
            extra: options of the scheduler.
        """
        before, t = timesteps
        if len(noise) > 1:
            without, text = noise.chunk(2)
            noise = without + self.guidance_scale * (text - without)
        dtype = latents.dtype
        if isinstance(self.scheduler, CogVideoXDPMScheduler):
            latents, previous = self.scheduler.step(
                noise, previous, t, before, latents, **extra, return_dict=False
            )
        else:
            latents = self.scheduler.step(noise, t, latents, **extra, return_dict=False)[0]
        return latents.to(dtype), previous
