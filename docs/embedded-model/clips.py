"""Scenes, their rendering, their descriptions, and the combinations held out of training.

A scene is one flat coloured shape that moves in a straight line over a plain background.
Everything is vectorised over a batch and runs on any torch device; lengths are in pixels,
times in frames, colours are RGB in 0..255.

    python docs/embedded-model/clips.py heldout.json

writes the held-out combinations and the evaluation prompts. It was run before training.
"""

from __future__ import annotations

import json
import random
import sys
from dataclasses import dataclass, fields
from pathlib import Path

import torch

from captions import describe

FRAMES = 17
FPS = 8
SIZE = 96

PALETTE: dict[str, tuple[int, int, int]] = {
    "red": (215, 30, 35),
    "green": (40, 180, 60),
    "blue": (50, 85, 235),
    "yellow": (245, 225, 45),
    "white": (248, 248, 248),
    "magenta": (215, 50, 200),
    "cyan": (45, 210, 220),
    "orange": (245, 125, 20),
}
BACKGROUNDS: dict[str, tuple[int, int, int]] = {
    "black": (0, 0, 0),
    "gray": (92, 92, 92),
    "dark blue": (16, 22, 80),
    "dark green": (12, 58, 28),
}
COLOURS = tuple(PALETTE)
SHAPES = ("circle", "square", "triangle")
DIRECTIONS: dict[str, tuple[int, int]] = {
    "left": (-1, 0),
    "right": (1, 0),
    "up": (0, -1),
    "down": (0, 1),
}
SIZES: dict[str, tuple[float, float]] = {
    "small": (8.0, 10.5),
    "": (12.0, 15.0),
    "large": (17.0, 21.0),
}

# Half width and half height of each shape's bounding box, and the half side or circumradius that
# gives the shape about the area of a circle of radius 1.
_SQUARE_HALF = 0.886
_TRIANGLE_R = 1.35
HALF_EXTENT = (
    (1.0, 1.0),
    (_SQUARE_HALF, _SQUARE_HALF),
    (0.8660 * _TRIANGLE_R, 0.75 * _TRIANGLE_R),
)

Combination = tuple[str, str, str]


@dataclass
class Scenes:
    """A batch of B scenes; every field is a tensor whose first dimension is B."""

    colour: torch.Tensor  # [B, 3], 0..255
    background: torch.Tensor  # [B, 3], 0..255
    shape: torch.Tensor  # [B], index into SHAPES
    radius: torch.Tensor  # [B], pixels
    start: torch.Tensor  # [B, 2], x and y of the bounding box's centre in frame 0, pixels
    velocity: torch.Tensor  # [B, 2], pixels per frame

    def take(self, index: torch.Tensor) -> Scenes:
        """The scenes at these positions."""
        return Scenes(*(getattr(self, f.name)[index] for f in fields(self)))


def combinations() -> list[Combination]:
    """All 96 combinations of colour, shape and direction."""
    return [(c, s, d) for c in COLOURS for s in SHAPES for d in DIRECTIONS]


def heldout_combinations() -> list[Combination]:
    """The 20 combinations that training never sees.

    At most one direction is held out of each colour-shape pair, one shape of each
    colour-direction pair and two colours of each shape-direction pair, so every pair stays in
    training.
    """
    directions = tuple(DIRECTIONS)
    diagonal = [
        (colour, shape, directions[(i + j) % 4])
        for i, colour in enumerate(COLOURS)
        for j, shape in enumerate(SHAPES)
    ]
    skipped = {("green", "circle"), ("white", "square"), ("cyan", "triangle"), ("orange", "circle")}
    return [c for c in diagonal if c[:2] not in skipped]


def training_combinations() -> list[Combination]:
    """The 76 combinations that training draws from."""
    held = set(heldout_combinations())
    return [c for c in combinations() if c not in held]


def _uniform(low: torch.Tensor, high: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    noise = torch.rand(low.shape, generator=generator, device=low.device)
    return low + (high - low) * noise


def place(
    attributes: list[tuple[Combination, str, str]],
    generator: torch.Generator,
    height: int = SIZE,
    width: int = SIZE,
) -> Scenes:
    """Turn (combination, size word, background name) into scenes that stay inside the frame."""
    device = generator.device
    half_extent = torch.tensor(HALF_EXTENT, device=device)
    colour = torch.tensor([PALETTE[a[0][0]] for a in attributes], device=device).float()
    background = torch.tensor([BACKGROUNDS[a[2]] for a in attributes], device=device).float()
    shape = torch.tensor([SHAPES.index(a[0][1]) for a in attributes], device=device)
    heading = torch.tensor([DIRECTIONS[a[0][2]] for a in attributes], device=device).float()
    radii = torch.tensor([SIZES[a[1]] for a in attributes], device=device)

    scale = min(height, width) / SIZE
    radius = _uniform(radii[:, 0], radii[:, 1], generator) * scale
    half = half_extent[shape] * radius[:, None]
    frame = torch.tensor([float(width), float(height)], device=device)
    room = frame - 2 * half - 4 * scale
    speed = _uniform(torch.full_like(radius, 1.3), torch.full_like(radius, 2.6), generator) * scale
    along = (room * heading.abs()).sum(1)
    speed = torch.minimum(speed, along / (FRAMES - 1))
    velocity = heading * speed[:, None]

    travel = velocity * (FRAMES - 1)
    low = half + 2 * scale - travel.clamp(max=0)
    high = frame - half - 2 * scale - travel.clamp(min=0)
    return Scenes(colour, background, shape, radius, _uniform(low, high, generator), velocity)


def sample_attributes(
    count: int, choices: list[Combination], rng: random.Random
) -> list[tuple[Combination, str, str]]:
    """Draw combinations, size words ("" is the middle size) and backgrounds (mostly black)."""
    grounds = tuple(BACKGROUNDS)
    return [
        (
            rng.choice(choices),
            rng.choice(("small", "", "", "large")),
            "black" if rng.random() < 0.55 else rng.choice(grounds[1:]),
        )
        for _ in range(count)
    ]


def sample_tiles(count: int, generator: torch.Generator, height: int, width: int) -> Scenes:
    """Scenes as one tile of a larger clip sees them: the shape cut off, absent, of any colour.

    Half of the scenes use the palette and the backgrounds, half random colours; positions reach
    outside the tile, velocities have any direction.
    """
    device = generator.device
    palette = torch.tensor(list(PALETTE.values()), device=device).float()
    grounds = torch.tensor(list(BACKGROUNDS.values()), device=device).float()

    def rand(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, device=device)

    def pick(table: torch.Tensor) -> torch.Tensor:
        return table[(rand(count) * len(table)).long()]

    known = (rand(count, 1) < 0.5).float()
    colour = known * pick(palette) + (1 - known) * 255 * rand(count, 3)
    background = known * pick(grounds) + (1 - known) * 255 * rand(count, 3)
    shape = (rand(count) * len(SHAPES)).long()
    radius = 8 + 26 * rand(count) ** 2
    frame = torch.tensor([float(width), float(height)], device=device)
    middle = (rand(count, 2) * 1.6 - 0.3) * frame
    velocity = (rand(count, 2) * 2 - 1) * 3
    straight = (rand(count, 1) < 0.7).float()
    keep = torch.nn.functional.one_hot((rand(count) * 2).long(), 2).float()
    velocity = velocity * (straight * keep + 1 - straight)
    start = middle - velocity * (FRAMES - 1) / 2
    return Scenes(colour, background, shape, radius, start, velocity)


def render(
    scenes: Scenes, height: int = SIZE, width: int = SIZE, frames: int = FRAMES
) -> torch.Tensor:
    """Draw antialiased clips: [B, 3, frames, height, width], float32 in -1..1."""
    device = scenes.colour.device
    time = torch.arange(frames, device=device).float()
    centre = scenes.start[:, None] + scenes.velocity[:, None] * time[None, :, None]
    x = torch.arange(width, device=device) + 0.5 - centre[:, :, None, None, 0]
    y = torch.arange(height, device=device)[:, None] + 0.5 - centre[:, :, None, None, 1]
    r = scenes.radius[:, None, None, None]

    circle = torch.sqrt(x * x + y * y) - r
    square = torch.maximum(x.abs().expand_as(circle), y.abs().expand_as(circle)) - _SQUARE_HALF * r
    big = _TRIANGLE_R * r
    below = y - 0.25 * big
    slopes = 0.8660 * x.abs() - 0.5 * below - 0.5 * big
    triangle = torch.maximum((below - 0.5 * big).expand_as(circle), slopes)

    kind = scenes.shape[:, None, None, None]
    distance = torch.where(kind == 0, circle, torch.where(kind == 1, square, triangle))
    cover = (0.5 - distance).clamp(0, 1)[:, None]
    front = (scenes.colour / 127.5 - 1)[:, :, None, None, None]
    back = (scenes.background / 127.5 - 1)[:, :, None, None, None]
    return back + (front - back) * cover


def heldout_table(per_combination: int = 6, seed: int = 20) -> dict:
    """Held-out combinations and evaluation prompts, the same on every machine."""
    rng = random.Random(seed)
    grounds = tuple(BACKGROUNDS)
    prompts = []
    for combination in heldout_combinations():
        for k in range(per_combination):
            size = ("", "", "small", "large")[rng.randrange(4)]
            background = "black" if k % 2 == 0 else rng.choice(grounds)
            colour, shape, direction = combination
            prompts.append(
                {
                    "prompt": describe(combination, size, background, rng, partial=0.0),
                    "seed": 1000 + len(prompts),
                    "colour": colour,
                    "shape": shape,
                    "direction": direction,
                    "size": size or "medium",
                    "background": background,
                }
            )
    return {"combinations": [list(c) for c in heldout_combinations()], "prompts": prompts}


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(heldout_table(), indent=1) + "\n")
