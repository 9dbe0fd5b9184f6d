"""Data of the inpainting model: clips of up to two shapes, regions to make new, captions.

A caption describes the finished clip: the shape that the region covers, or else one that is
visible, or only the background. So a region that covers nothing is filled with the background
where the caption describes a visible shape or none, and with the caption's shape otherwise.
"""

from __future__ import annotations

import random
from dataclasses import fields, replace

import torch
from diffusers import CogVideoXPipeline

from batches import NATIVE, OTHERS, ConditionedBatches, draw_times
from captions import BACKGROUND_WORDS, GROUND_NOUNS, OPENINGS, describe
from clips import (
    SIZE,
    Combination,
    Scenes,
    combinations,
    place,
    render,
    sample_attributes,
    training_combinations,
)
from conditioning import condition
from pictures import (
    ARBITRARY_COLOURS,
    CAPTION_DROPOUT,
    CAPTIONS_PER_CLIP,
    LOG_SIGMA,
    movement,
    recolour,
)
from regions import Regions, areas, cover, draw_ends, following, frames_kept
from tokenizer import tokenize

# Each way to choose the region: its share of the clips, and of those, the shares with 0, 1 and 2
# shapes.
WAYS: dict[str, tuple[float, tuple[float, float, float]]] = {
    "shape": (0.31, (0.0, 0.85, 0.15)),  # it follows a shape of the clip
    "elsewhere": (0.30, (0.3, 0.6, 0.1)),  # it follows a shape that the clip does not have
    "frames": (0.26, (0.0, 0.9, 0.1)),  # all but the first or last frames
    "area": (0.09, (0.2, 0.8, 0.0)),  # a part of the picture
    "all": (0.04, (0.0, 1.0, 0.0)),  # text to video
}
# Share of captions that describe the background alone though a shape is visible, and of those that
# name one or two attributes of a shape seen in some frames, the direction among them.
GROUND_ONLY, FRAGMENTS = 0.2, 0.25
HIDDEN = 0.5  # share of a shape that the region covers, from which the caption describes it
NOISELESS = 0.5  # share of the clips whose kept region has no noise

Attributes = tuple[Combination, str, str]


def compose(scenes: Scenes, others: Scenes, shown: torch.Tensor, *size: int) -> torch.Tensor:
    """Clips [B, 3, F, H, W] of scenes with the shapes of other scenes in front, where `shown`."""
    white = torch.full_like(others.colour, 255.0)
    mask = (render(replace(others, colour=white, background=white * 0), *size) + 1) / 2
    front = (others.colour / 127.5 - 1)[:, :, None, None, None]
    clip = render(scenes, *size)
    return clip + (front - clip) * mask * shown[:, None, None, None, None]


def covered(scenes: Scenes, mask: torch.Tensor, *size: int) -> torch.Tensor:
    """The share of each scene's shape, over all frames, that a mask covers."""
    white = torch.full_like(scenes.colour, 255.0)
    shape = (render(replace(scenes, colour=white, background=white * 0), *size)[:, :1] + 1) / 2
    return (shape * mask).sum((1, 2, 3, 4)) / shape.sum((1, 2, 3, 4))


def backdrop(ground: str, rng: random.Random) -> str:
    """A caption of a clip without a shape; `ground` is "" where its colour has no name."""
    tone = rng.choice(BACKGROUND_WORDS[ground]) if ground else ""
    words = " ".join(w for w in (rng.choice(("", "", "plain")), tone) if w) or "plain"
    noun = rng.choice(GROUND_NOUNS)
    article = rng.choice(("a", "a", "the", "one"))
    forms = [
        f"{article} {words} {noun}",
        f"{words} {noun}",
        f"{rng.choice(OPENINGS)} {article} {words} {noun}",
        f"the {noun} is {words}",
    ]
    text = rng.choice(forms)
    draw = rng.random()
    text = text.capitalize() if draw < 0.55 else text.upper() if draw < 0.58 else text
    return text + rng.choice(("", "."))


def caption(
    way: str, shapes: list[tuple[Attributes, float]], ground: str, rng: random.Random
) -> str:
    """A caption of a clip of these shapes, each with the share of it that the region covers.

    `ground` is "" where the clip's colours have no names.
    """
    if not shapes:
        return backdrop(ground, rng)
    most = max(share for _, share in shapes)
    hidden = most >= HIDDEN
    choices = [s for s, share in shapes if share == most] if hidden else [s for s, _ in shapes]
    combination, size, own_ground = rng.choice(choices)
    draw = rng.random()
    if way == "elsewhere" and not hidden and draw < GROUND_ONLY:
        return backdrop(ground, rng)
    if not ground or (way in ("frames", "elsewhere") and draw > 1 - FRAGMENTS):
        return movement(combination, own_ground, rng, plain=not ground)
    return describe(combination, size, own_ground, rng)


class InpaintedClips:
    """Encoded clips of one size with their regions and tokenized captions, on the device."""

    def __init__(
        self, pipe: CogVideoXPipeline, count: int, height: int, width: int, seed: int
    ) -> None:
        device, vae = pipe.vae.device, pipe.vae
        rng, generator = random.Random(seed), torch.Generator(device).manual_seed(seed)
        size = (height, width)
        ways = rng.choices(list(WAYS), [share for share, _ in WAYS.values()], k=count)
        numbers = [rng.choices((0, 1, 2), WAYS[way][1])[0] for way in ways]
        looks = [sample_attributes(count, training_combinations(), rng) for _ in range(2)]
        scenes, others = (place(look, generator, *size) for look in looks)
        named = _coloured(scenes, ways, numbers, generator)
        regions = _regions(scenes, ways, rng, generator, size)
        shown = torch.tensor(numbers, device=device) == 2
        clips, kept, hidden = [], [], []
        with torch.no_grad():
            for index in torch.arange(count, device=device).split(64):
                back, front = scenes.take(index), others.take(index)
                clip = compose(back, front, shown[index], *size)
                mask = cover(regions.take(index), *size)
                clips.append(vae.encode(clip.to(vae.dtype)).latent_dist.mode())
                kept.append(condition(vae, clip, mask, _sigmas(len(clip), generator), generator))
                hidden += [covered(s, mask, *size) for s in (back, front)]
        latents = torch.cat(clips).permute(0, 2, 1, 3, 4).float() * vae.config.scaling_factor
        self.latents, self.kept = latents.half().contiguous(), torch.cat(kept).half()
        shares = [torch.cat(hidden[i::2]).tolist() for i in range(2)]
        described = []
        for i, (way, number) in enumerate(zip(ways, numbers, strict=True)):
            ground = looks[0][i][2]
            shapes = [((*looks[j][i][:2], ground), shares[j][i]) for j in range(number)]
            described.append((way, shapes, ground if named[i] else ""))
        texts = [caption(*d, rng) for _ in range(CAPTIONS_PER_CLIP) for d in described]
        self.captions = (
            tokenize(pipe.tokenizer, texts).view(CAPTIONS_PER_CLIP, count, -1).to(device)
        )


def _coloured(
    scenes: Scenes, ways: list[str], numbers: list[int], generator: torch.Generator
) -> list[bool]:
    """Recolour some scenes and empty those of no shape; whether each one's colours have names.

    Only clips in which the colours are seen are recoloured.
    """
    device = generator.device
    free = [w in ("frames", "elsewhere") and n < 2 for w, n in zip(ways, numbers, strict=True)]
    named = recolour(scenes, generator, ARBITRARY_COLOURS * torch.tensor(free, device=device))
    empty = torch.tensor(numbers, device=device)[:, None] == 0
    scenes.colour = torch.where(empty, scenes.background, scenes.colour)
    return named.tolist()


def _regions(
    scenes: Scenes,
    ways: list[str],
    rng: random.Random,
    generator: torch.Generator,
    size: tuple[int, int],
) -> Regions:
    """The region of each clip, in its way."""
    count, scale, device = len(ways), min(size) / SIZE, generator.device
    elsewhere = place(sample_attributes(count, combinations(), rng), generator, *size)
    ends = [draw_ends(rng) if way == "frames" else (0, 0) for way in ways]
    candidates = {
        "shape": following(scenes, generator, scale),
        "elsewhere": following(elsewhere, generator, scale),
        "frames": frames_kept(ends, device),
        "area": areas(count, generator, *size),
    }
    candidates["all"] = candidates["frames"]
    number = torch.tensor([list(candidates).index(way) for way in ways], device=device)
    rows = torch.arange(count, device=device)
    return Regions(
        *(
            torch.stack([getattr(c, f.name) for c in candidates.values()])[number, rows]
            for f in fields(Regions)
        )
    )


def _sigmas(count: int, generator: torch.Generator) -> torch.Tensor:
    """Standard deviations of the noise on kept pixels, as in the published training, or none."""
    mean, deviation = LOG_SIGMA
    device = generator.device
    draw = torch.randn(count, generator=generator, device=device)
    noisy = torch.rand(count, generator=generator, device=device) >= NOISELESS
    return torch.exp(mean + deviation * draw) * noisy


class InpaintedBatches(ConditionedBatches):
    """Draws training batches: latents, noise, token ids, time steps and the conditioning."""

    def __init__(
        self,
        pipe: CogVideoXPipeline,
        clips: int,
        batch: int,
        device: torch.device,
        seed: int,
        kinds: tuple[tuple[int, int, int], ...] = (NATIVE, *OTHERS),
    ) -> None:
        super().__init__(pipe, InpaintedClips, clips, 20, batch, device, seed, kinds)

    def draw(self, kind: tuple[int, int, int]) -> tuple[torch.Tensor, ...]:
        """A batch of this kind (height, width, text length)."""
        clips, index, ids = self.captioned(kind, CAPTION_DROPOUT)
        latents = clips.latents[index]
        noise = self.noise(latents)
        times = draw_times(len(ids), self.steps, self.generator)
        return latents, noise, ids, times, clips.kept[index]
