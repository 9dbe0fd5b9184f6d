"""Data of the image-to-video model: clips with their first frames, captions, held-out pairs.

    python docs/embedded-model/pictures.py heldout_i2v.json

writes the pairs of frame and prompt of the evaluation. It was run before training. The held-out
combinations are those of `clips.py`, so the text-to-video transformer, whose weights the training
starts from, has never seen them either.
"""

from __future__ import annotations

import json
import random
import sys
from dataclasses import fields
from pathlib import Path

import torch
from diffusers import CogVideoXImageToVideoPipeline

from batches import NATIVE, OTHERS, ConditionedBatches, draw_times
from captions import describe, fragment
from clips import (
    COLOURS,
    SHAPES,
    Combination,
    Scenes,
    heldout_combinations,
    place,
    render,
    sample_attributes,
    training_combinations,
)
from tokenizer import tokenize

CAPTIONS_PER_CLIP = 2
# Share of captions that name one or two attributes only, the direction among them, and of those
# that name another colour or shape than the clip's, so that the picture determines both.
FRAGMENTS, CONTRADICTIONS = 0.25, 0.2
# Share of clips in arbitrary colours, as people draw them, and the least distance in RGB between
# the shape's colour and the background's.
ARBITRARY_COLOURS, MIN_CONTRAST = 0.25, 90.0
# Noise on pictures, as CogVideoX's image-to-video models were trained (CogVideo's
# `noised_image_input`): its standard deviation is exp(N(-3, 0.5)), of pixels in -1..1. Half of the
# pictures have it. One picture in twenty is left out (`noised_image_dropout`).
LOG_SIGMA, PICTURE_DROPOUT = (-3.0, 0.5), 0.05
CAPTION_DROPOUT = 0.1


def movement(combination: Combination, ground: str, rng: random.Random, *, plain: bool) -> str:
    """A phrase that names the direction; with `plain`, neither colour nor background."""
    while True:
        text, (colour, _, direction, background) = fragment(combination, ground, rng)
        if direction and not (plain and (colour or background)):
            return text


def contradiction(combination: Combination, rng: random.Random) -> Combination:
    """Another trained combination of the same direction."""
    others = [c for c in training_combinations() if c[2] == combination[2] and c != combination]
    return rng.choice(others)


def caption(attributes: tuple[Combination, str, str], rng: random.Random, *, known: bool) -> str:
    """A caption of a clip, whose colours have names if `known`; its direction is always right."""
    combination, size, ground = attributes
    draw = rng.random()
    if draw < CONTRADICTIONS:
        return describe(contradiction(combination, rng), size, ground, rng)
    if draw < CONTRADICTIONS + FRAGMENTS or not known:
        return movement(combination, ground, rng, plain=not known)
    return describe(*attributes, rng)


def recolour(
    scenes: Scenes, generator: torch.Generator, share: float | torch.Tensor = ARBITRARY_COLOURS
) -> torch.Tensor:
    """Give a share of the scenes arbitrary colours; True for each of the others."""
    device = generator.device
    count = len(scenes.radius)

    def rand(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, device=device)

    colour, background = 255 * rand(count, 3), 255 * rand(count, 3)
    contrast = (colour - background).norm(dim=1) >= MIN_CONTRAST
    arbitrary = (rand(count) < share) & contrast
    scenes.colour = torch.where(arbitrary[:, None], colour, scenes.colour)
    scenes.background = torch.where(arbitrary[:, None], background, scenes.background)
    return ~arbitrary


class PicturedClips:
    """Encoded clips of one size with encoded first frames and tokenized captions, on the device."""

    def __init__(
        self,
        pipe: CogVideoXImageToVideoPipeline,
        count: int,
        height: int,
        width: int,
        seed: int,
    ) -> None:
        device, vae = pipe.vae.device, pipe.vae
        rng = random.Random(seed)
        generator = torch.Generator(device).manual_seed(seed)
        attributes = sample_attributes(count, training_combinations(), rng)
        scenes = place(attributes, generator, height, width)
        known = recolour(scenes, generator).tolist()
        clips, plain, noised = [], [], []
        with torch.no_grad():
            for index in torch.arange(count, device=device).split(64):
                clip = render(scenes.take(index), height, width)
                picture = clip[:, :, :1]
                clips.append(vae.encode(clip.to(vae.dtype)).latent_dist.mode())
                plain.append(encode_pictures(pipe, picture, generator))
                noised.append(encode_pictures(pipe, add_noise(picture, generator), generator))
        latents = torch.cat(clips).permute(0, 2, 1, 3, 4).float() * vae.config.scaling_factor
        self.latents = latents.half().contiguous()
        self.pictures = torch.stack([torch.cat(plain), torch.cat(noised)]).half()
        texts = [
            caption(a, rng, known=k)
            for _ in range(CAPTIONS_PER_CLIP)
            for a, k in zip(attributes, known, strict=True)
        ]
        ids = tokenize(pipe.tokenizer, texts)
        self.captions = ids.view(CAPTIONS_PER_CLIP, count, -1).to(device)


def add_noise(picture: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Pictures [B, 3, 1, H, W] with noise of the published training's strengths."""
    mean, deviation = LOG_SIGMA
    device = generator.device
    draw = torch.randn(len(picture), 1, 1, 1, 1, generator=generator, device=device)
    sigma = torch.exp(mean + deviation * draw)
    return picture + sigma * torch.randn(picture.shape, generator=generator, device=device)


def encode_pictures(
    pipe: CogVideoXImageToVideoPipeline, picture: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Latents [B, 1, C, H, W] of pictures [B, 3, 1, H, W] in -1..1, as `prepare_latents` has them.

    They are a sample of the autoencoder's distribution, times the scaling factor, or divided by it
    under `invert_scale_latents`.
    """
    config = pipe.vae.config
    latents = pipe.vae.encode(picture.to(pipe.vae.dtype)).latent_dist.sample(generator)
    factor = config.scaling_factor
    scale = 1 / factor if config.invert_scale_latents else factor
    return latents.permute(0, 2, 1, 3, 4).float() * scale


class PicturedBatches(ConditionedBatches):
    """Draws training batches: latents, noise, token ids, time steps and the pictures' latents."""

    def __init__(
        self,
        pipe: CogVideoXImageToVideoPipeline,
        clips: int,
        batch: int,
        device: torch.device,
        seed: int,
        kinds: tuple[tuple[int, int, int], ...] = (NATIVE, *OTHERS),
    ) -> None:
        super().__init__(pipe, PicturedClips, clips, 12, batch, device, seed, kinds)

    def draw(self, kind: tuple[int, int, int]) -> tuple[torch.Tensor, ...]:
        """A batch of this kind (height, width, text length)."""
        clips, index, ids = self.captioned(kind, CAPTION_DROPOUT)
        pictures = clips.pictures[self.some(kind, 2), index]
        pictures = pictures * ~self.dropped(len(ids), PICTURE_DROPOUT)[:, None, None, None, None]
        latents = clips.latents[index]
        noise = self.noise(latents)
        return latents, noise, ids, draw_times(len(ids), self.steps, self.generator), pictures


def plain_numbers(batch: object) -> list[dict[str, list[float]]]:
    """A batch of scenes as plain numbers, so that a file determines every pixel of them.

    Args:
        batch: `Scenes`, or another dataclass of tensors with that many rows each.
    """
    columns = {f.name: getattr(batch, f.name).tolist() for f in fields(batch)}
    return [
        {name: _rounded(value) for name, value in zip(columns, row, strict=True)}
        for row in zip(*columns.values(), strict=True)
    ]


def _rounded(value: float | list[float]) -> float | list[float]:
    if isinstance(value, list):
        return [round(v, 3) for v in value]
    return value if isinstance(value, bool) else round(value, 3)


def scenes_of(entries: list[dict]) -> Scenes:
    """The scenes of evaluation pairs."""
    return Scenes(
        **{f.name: torch.tensor([e["scene"][f.name] for e in entries]) for f in fields(Scenes)}
    )


def pairs(
    combinations: list[Combination], count: int, seed: int, *, contradicting: bool = False
) -> list[dict]:
    """`count` pairs of first frame and prompt for each combination.

    A contradicting prompt names another colour and another shape than the frame shows.
    """
    rng = random.Random(seed)
    repeated = [c for c in combinations for _ in range(count)]
    looks = sample_attributes(len(repeated), [("", "", "")], rng)  # sizes and backgrounds
    attributes = [(c, size, ground) for c, (_, size, ground) in zip(repeated, looks, strict=True)]
    scenes = plain_numbers(place(attributes, torch.Generator().manual_seed(seed)))
    entries = []
    for number, ((combination, size, ground), scene) in enumerate(
        zip(attributes, scenes, strict=True)
    ):
        colour, shape, direction = named = combination
        if contradicting:
            colours = [c for c in COLOURS if c != colour]
            shapes = [s for s in SHAPES if s != shape]
            named = (rng.choice(colours), rng.choice(shapes), direction)
        entries.append(
            {
                "prompt": describe(named, size, ground, rng, partial=0.0),
                "seed": 1000 * seed + number,
                **dict(zip(("colour", "shape", "direction"), combination, strict=True)),
                "named": list(named),
                "scene": scene,
            }
        )
    return entries


def heldout_table() -> dict:
    """Held-out combinations and evaluation pairs, the same on every machine."""
    combinations = heldout_combinations()
    return {
        "combinations": [list(c) for c in combinations],
        "agreeing": pairs(combinations, 4, seed=31),
        "contradicting": pairs(combinations, 2, seed=32, contradicting=True),
    }


if __name__ == "__main__":
    groups = [
        f"{json.dumps(name)}: [\n" + ",\n".join(map(json.dumps, entries)) + "\n]"
        for name, entries in heldout_table().items()
    ]
    Path(sys.argv[1]).write_text("{\n" + ",\n".join(groups) + "\n}\n")
