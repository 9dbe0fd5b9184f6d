"""Regions of a clip that an inpainting model makes new: moving boxes and ellipses, whole frames.

Lengths are in pixels, times in frames. Everything is vectorised over a batch and runs on any torch
device, like the scenes of `clips.py`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, fields

import torch

from clips import FRAMES, HALF_EXTENT, SIZE, Scenes

MARGIN = (2.0, 9.0)  # between a shape and the region that follows it, pixels of a 96 x 96 clip
# Share of the regions that cover a shape's whole way in every frame, and share of ellipses.
STILL, ROUND = 0.35, 0.35
EVERYTHING = 1e4  # half a side, pixels: more than any frame


@dataclass
class Regions:
    """A batch of B regions; every field is a tensor whose first dimension is B."""

    start: torch.Tensor  # [B, 2], x and y of the centre in frame 0
    velocity: torch.Tensor  # [B, 2], pixels per frame
    half: torch.Tensor  # [B, 2], half width and half height of the box
    round: torch.Tensor  # [B], whether it is the ellipse around the box
    first: torch.Tensor  # [B], frames at the beginning of which everything is kept
    last: torch.Tensor  # [B], the same at the end

    def take(self, index: torch.Tensor) -> Regions:
        """The regions at these positions."""
        return Regions(*(getattr(self, f.name)[index] for f in fields(self)))


def cover(
    regions: Regions, height: int = SIZE, width: int = SIZE, frames: int = FRAMES
) -> torch.Tensor:
    """The masks [B, 1, frames, height, width]: 1 where the clip is made new, 0 where kept."""
    device = regions.start.device
    time = torch.arange(frames, device=device).float()
    centre = regions.start[:, None] + regions.velocity[:, None] * time[None, :, None]
    x = torch.arange(width, device=device) + 0.5 - centre[:, :, None, None, 0]
    y = torch.arange(height, device=device)[:, None] + 0.5 - centre[:, :, None, None, 1]
    half = regions.half[:, None, None, None]
    x, y = x / half[..., 0], y / half[..., 1]
    ellipse = x * x + y * y <= 2
    box = (x.abs() <= 1) & (y.abs() <= 1)
    inside = torch.where(regions.round[:, None, None, None], ellipse, box)
    made = (time >= regions.first[:, None]) & (time < frames - regions.last[:, None])
    return (inside & made[:, :, None, None])[:, None].float()


def following(scenes: Scenes, generator: torch.Generator, scale: float = 1.0) -> Regions:
    """Regions that follow the shapes of scenes, with random margins and forms.

    Each side has a margin of its own, so that neither the form nor the place of a region tells
    which shape is in it.
    """
    count, device = len(scenes.radius), generator.device

    def rand(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, device=device)

    low, high = MARGIN
    before, after = (low + (high - low) * rand(2, count, 2)) * scale
    extent = torch.tensor(HALF_EXTENT, device=device)[scenes.shape] * scenes.radius[:, None]
    half, middle = extent + (before + after) / 2, scenes.start + (after - before) / 2
    travel = scenes.velocity * (FRAMES - 1)
    still = rand(count, 1) < STILL
    never = torch.zeros_like(scenes.shape)
    return Regions(
        torch.where(still, middle + travel / 2, middle),
        torch.where(still, torch.zeros_like(travel), scenes.velocity),
        torch.where(still, half + travel.abs() / 2, half),
        rand(count) < ROUND,
        never,
        never.clone(),
    )


def areas(count: int, generator: torch.Generator, height: int, width: int) -> Regions:
    """Boxes at random places, half of them from one side of the frame to the other."""
    device = generator.device

    def rand(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, device=device)

    frame = torch.tensor([float(width), float(height)], device=device)
    low = frame * rand(count, 2) * 0.7
    high = torch.minimum(low + frame * (0.2 + 0.5 * rand(count, 2)), frame)
    side = (rand(count, 1) * 4).long()  # a strip at the left, the top, the right or the bottom
    axis = torch.nn.functional.one_hot(side % 2, 2)[:, 0].bool()
    share = frame * (0.2 + 0.4 * rand(count, 1))
    far = side >= 2
    strip_low = torch.where(axis & far, frame - share, torch.zeros_like(low))
    strip_high = torch.where(axis & ~far, share, frame.expand_as(high))
    strip = rand(count, 1) < 0.5
    low, high = torch.where(strip, strip_low, low), torch.where(strip, strip_high, high)
    never = torch.zeros(count, dtype=torch.long, device=device)
    flat = torch.zeros(count, dtype=torch.bool, device=device)
    return Regions(
        (low + high) / 2, torch.zeros_like(low), (high - low) / 2, flat, never, never.clone()
    )


def frames_kept(counts: list[tuple[int, int]], device: torch.device) -> Regions:
    """Regions of whole frames: all but so many at the beginning and at the end."""
    number = len(counts)
    kept = torch.tensor(counts, device=device).view(number, 2)
    nowhere = torch.zeros(number, 2, device=device)
    return Regions(
        nowhere,
        nowhere.clone(),
        torch.full_like(nowhere, EVERYTHING),
        torch.zeros(number, dtype=torch.bool, device=device),
        kept[:, 0],
        kept[:, 1],
    )


def draw_ends(rng: random.Random) -> tuple[int, int]:
    """How many frames are kept at the beginning and at the end; at least one in all."""
    first = 1 if rng.random() < 0.5 else rng.randint(2, 9)
    last = 1 if rng.random() < 0.75 else rng.randint(2, 4)
    return rng.choices([(first, 0), (first, last), (0, last)], [0.35, 0.4, 0.25])[0]
