"""DDIM at given timesteps, which adapters that were distilled for a few of them need.

diffusers' CogVideoX schedulers take no timesteps, and each of their steps goes down by the same
distance: ``num_train_timesteps // num_inference_steps``.
"""

from __future__ import annotations

from functools import cache
from typing import Any

__all__ = ["ddim_at"]


def ddim_at(config: Any, timesteps: tuple[int, ...]) -> Any:
    """A DDIM scheduler that denoises at these timesteps, from the first to the clean video.

    Args:
        config: of the checkpoint's scheduler.
        timesteps: descending, below ``num_train_timesteps``.
    """
    scheduler = _class().from_config(config)
    scheduler.chosen = timesteps
    return scheduler


@cache
def _class() -> Any:
    import torch
    from diffusers import CogVideoXDDIMScheduler

    class DDIMAtTimesteps(CogVideoXDDIMScheduler):  # type: ignore[misc]  # diffusers is untyped
        """DDIM whose timesteps are given."""

        chosen: tuple[int, ...]

        def set_timesteps(self, num_inference_steps: int, device: Any = None) -> None:
            """Take the chosen timesteps, of which there must be as many as steps."""
            if num_inference_steps != len(self.chosen):
                raise ValueError(f"{len(self.chosen)} timesteps, {num_inference_steps} steps")
            self.num_inference_steps = num_inference_steps
            self.timesteps = torch.tensor(self.chosen, device=device)

        def step(
            self, model_output: Any, timestep: Any, sample: Any, *_: Any, **__: Any
        ) -> tuple[Any]:
            """The latents at the next chosen timestep; diffusers predicts the clean ones.

            Formula 12 of Song et al., "Denoising Diffusion Implicit Models" (2020).
            """
            _, clean = super().step(model_output, timestep, sample, return_dict=False)
            following = self.chosen[self.chosen.index(int(timestep)) + 1 :]
            alpha = self.alphas_cumprod[timestep]
            lower = self.alphas_cumprod[following[0]] if following else self.final_alpha_cumprod
            share = ((1 - lower) / (1 - alpha)) ** 0.5  # of the noise, which remains
            return (share * sample + (lower**0.5 - alpha**0.5 * share) * clean,)

    return DDIMAtTimesteps
