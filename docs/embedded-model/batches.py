"""Training data of stage 2: encoded clips, tokenized captions, and batches drawn from them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch
from diffusers import CogVideoXPipeline, DiffusionPipeline

from captions import describe
from clips import SIZE, place, render, sample_attributes, training_combinations
from tokenizer import MAX_LENGTH, tokenize

NATIVE = (SIZE, SIZE, MAX_LENGTH)
# Height, width and text length of the other batches: larger clips, and the pipeline's default
# text length, so that a caller who leaves it alone is served too. One step in ten uses one.
OTHERS = ((96, 144, MAX_LENGTH), (144, 96, MAX_LENGTH), (160, 192, MAX_LENGTH), (SIZE, SIZE, 226))
CAPTIONS_PER_CLIP = 2
# Share of the batch drawn from the noisier part of the schedule, and where that part begins: it
# decides the layout, the rest only cleans up.
NOISY_SHARE, NOISY_FROM = 0.75, 0.45


def draw_times(batch: int, steps: int, generator: torch.Generator) -> torch.Tensor:
    """Time steps of a batch, spread evenly, more of them in the noisier part of the schedule."""
    device = generator.device
    spread = torch.rand(batch, generator=generator, device=device)
    spread = (torch.arange(batch, device=device) + spread) / batch
    quiet = 1 - NOISY_SHARE
    spread = torch.where(
        spread < quiet,
        spread / quiet * NOISY_FROM,
        NOISY_FROM + (spread - quiet) / NOISY_SHARE * (1 - NOISY_FROM),
    )
    return (spread * steps).long().clamp(max=steps - 1)


class Clips:
    """Encoded clips of one size with their tokenized captions, all on the device."""

    def __init__(self, pipe: CogVideoXPipeline, count: int, height: int, width: int, seed: int):
        device = pipe.vae.device
        rng = random.Random(seed)
        generator = torch.Generator(device).manual_seed(seed)
        attributes = sample_attributes(count, training_combinations(), rng)
        scenes = place(attributes, generator, height, width)
        encoded = []
        with torch.no_grad():
            for index in torch.arange(count, device=device).split(64):
                clips = render(scenes.take(index), height, width).to(pipe.vae.dtype)
                encoded.append(pipe.vae.encode(clips).latent_dist.mode())
        latents = torch.cat(encoded).permute(0, 2, 1, 3, 4).float()
        self.latents = (latents * pipe.vae.config.scaling_factor).half().contiguous()
        texts = [describe(*a, rng) for _ in range(CAPTIONS_PER_CLIP) for a in attributes]
        self.captions = (
            tokenize(pipe.tokenizer, texts).view(CAPTIONS_PER_CLIP, count, -1).to(device)
        )


class Batches:
    """Draws training batches: latents, noise, token ids with 10 % empty captions, and times."""

    def __init__(
        self, pipe: CogVideoXPipeline, clips: int, batch: int, device: torch.device, seed: int
    ) -> None:
        self.device = device
        self.generator = torch.Generator(device).manual_seed(seed)
        self.batch = batch
        self.steps = pipe.scheduler.config.num_train_timesteps
        self.empty = tokenize(pipe.tokenizer, [""]).to(self.device)
        sizes = {kind[:2] for kind in (NATIVE, *OTHERS)}
        counts = (clips // 12, clips)
        self.clips = {
            size: Clips(pipe, counts[size == NATIVE[:2]], *size, seed + i)
            for i, size in enumerate(sorted(sizes))
        }

    def draw(self, kind: tuple[int, int, int]) -> tuple[torch.Tensor, ...]:
        """A batch of this kind (height, width, text length)."""
        clips, device, generator = self.clips[kind[:2]], self.device, self.generator
        batch = self.batch if kind == NATIVE else self.batch // 3
        index = torch.randint(len(clips.latents), (batch,), generator=generator, device=device)
        which = torch.randint(CAPTIONS_PER_CLIP, (batch,), generator=generator, device=device)
        dropped = torch.rand(batch, 1, generator=generator, device=device) < 0.1
        ids = torch.where(dropped, self.empty, clips.captions[which, index])
        ids = torch.nn.functional.pad(ids, (0, kind[2] - MAX_LENGTH))
        latents = clips.latents[index]
        noise = torch.randn(latents.shape, generator=generator, device=device)
        return latents, noise, ids, draw_times(batch, self.steps, generator)


class ConditionedBatches:
    """Draws captions for batches of clips with a condition; a subclass draws the rest.

    Args:
        pipe: encodes the clips.
        make: makes the clips of one size, of pipeline, count, height, width and seed.
        clips: of the native size; one in `rare` of that of the others.
        rare: see `clips`.
        batch: at the native size; a third of it at others.
        device: of all tensors.
        seed: of all random numbers.
        kinds: height, width and text length of the batches that will be drawn.
    """

    def __init__(
        self,
        pipe: DiffusionPipeline,
        make: Callable[..., Any],
        clips: int,
        rare: int,
        batch: int,
        device: torch.device,
        seed: int,
        kinds: tuple[tuple[int, int, int], ...],
    ) -> None:
        self.device, self.batch = device, batch
        self.generator = torch.Generator(device).manual_seed(seed)
        self.steps = pipe.scheduler.config.num_train_timesteps
        self.empty = tokenize(pipe.tokenizer, [""]).to(device)
        counts = (max(clips // rare, 1), clips)
        self.clips = {
            size: make(pipe, counts[size == NATIVE[:2]], *size, seed + i)
            for i, size in enumerate(sorted({kind[:2] for kind in kinds}))
        }

    def some(self, kind: tuple[int, int, int], most: int) -> torch.Tensor:
        """As many numbers below `most` as a batch of this kind has clips."""
        batch = self.batch if kind == NATIVE else max(self.batch // 3, 1)
        return torch.randint(most, (batch,), generator=self.generator, device=self.device)

    def captioned(
        self, kind: tuple[int, int, int], dropout: float
    ) -> tuple[Any, torch.Tensor, torch.Tensor]:
        """The clips of a kind, the numbers of those in a batch, and their token ids.

        Args:
            kind: height, width and text length.
            dropout: the share of captions that are empty.
        """
        clips = self.clips[kind[:2]]
        index = self.some(kind, len(clips.latents))
        ids = clips.captions[self.some(kind, CAPTIONS_PER_CLIP), index]
        ids = torch.where(self.dropped(len(ids), dropout)[:, None], self.empty, ids)
        return clips, index, torch.nn.functional.pad(ids, (0, kind[2] - MAX_LENGTH))

    def dropped(self, count: int, share: float) -> torch.Tensor:
        """Which of `count` clips are drawn to go without something."""
        return torch.rand(count, generator=self.generator, device=self.device) < share

    def noise(self, latents: torch.Tensor) -> torch.Tensor:
        """Noise of the latents' shape."""
        return torch.randn(latents.shape, generator=self.generator, device=self.device)
