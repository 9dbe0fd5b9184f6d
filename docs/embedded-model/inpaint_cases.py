"""Held-out cases of the inpainting model: clips, the regions to make new, and prompts.

    python docs/embedded-model/inpaint_cases.py heldout_inp.json

was run before training. The shapes of the finished clips have the combinations held out by
`clips.py`, which neither this training nor that of the weights it starts from has seen.
"""

from __future__ import annotations

import json
import random
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

import torch

from captions import describe
from clips import (
    Combination,
    Scenes,
    combinations,
    heldout_combinations,
    place,
    sample_attributes,
)
from inpainted import backdrop, compose, covered
from pictures import plain_numbers
from regions import Regions, cover, following, frames_kept

CANDIDATES = 16  # placements tried at once until the region leaves the kept shape alone
Batch = TypeVar("Batch", Scenes, Regions)


@dataclass(frozen=True)
class Cases:
    """Clips to inpaint: uint8-valued pixels in -1..1 and masks, with what they must become."""

    entries: list[dict]
    given: torch.Tensor  # [N, 3, F, H, W] in -1..1: the clip that the model gets
    mask: torch.Tensor  # [N, 1, F, H, W]: 1 where it is made new
    truth: torch.Tensor  # [N, 3, F, H, W]: the clip without the shape that is to go


def rendered(entries: list[dict]) -> Cases:
    """The cases of some entries of the table."""
    scenes, others = (batch_of(Scenes, [e[n] for e in entries]) for n in ("scene", "gone"))
    shown = torch.tensor([e["removes"] for e in entries])
    given, truth = (
        ((compose(scenes, others, s) + 1) * 127.5).round() / 127.5 - 1 for s in (shown, shown * 0)
    )
    return Cases(entries, given, cover(batch_of(Regions, [e["region"] for e in entries])), truth)


def batch_of(kind: type[Batch], rows: list[dict]) -> Batch:
    """A batch of scenes or regions from their plain numbers."""
    return kind(**{f.name: torch.tensor([row[f.name] for row in rows]) for f in fields(kind)})


def _others(combination: Combination, *, same_direction: bool) -> list[Combination]:
    """The combinations of another colour and another shape."""
    colour, shape, direction = combination
    return [
        c
        for c in combinations()
        if c[0] != colour and c[1] != shape and (c[2] == direction or not same_direction)
    ]


def _entry(
    prompt: str,
    seed: int,
    wanted: Combination | None,
    parts: tuple[Scenes, Scenes, Regions],
    fill: str,
) -> dict:
    """One row of the table: the finished clip's combination, and what `fill`s the region.

    The parts are the scene that stays, the one whose shape goes (the same if none does), and the
    region.
    """
    scene, gone, region = parts
    return {
        "prompt": prompt,
        "seed": seed,
        "wanted": list(wanted) if wanted else None,
        "fill": fill,
        "removes": gone is not scene,
        "scene": plain_numbers(scene)[0],
        "gone": plain_numbers(gone)[0],
        "region": plain_numbers(region)[0],
    }


def removals(count: int, seed: int, *, alone: bool = False) -> list[dict]:
    """A shape is to go; one of a held-out combination remains, or with `alone` only background."""
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    entries = []
    for combination in [c for c in heldout_combinations() for _ in range(count)]:
        attributes = sample_attributes(1, [combination], rng)[0]
        leaving = combination if alone else rng.choice(_others(combination, same_direction=False))
        parts = _apart(attributes, leaving, rng, generator)
        if alone:
            parts[0].colour = parts[0].background
        ground = attributes[2]
        prompt = backdrop(ground, rng) if alone else describe(*attributes, rng, partial=0)
        wanted = None if alone else combination
        entries.append(_entry(prompt, 1000 * seed + len(entries), wanted, parts, "background"))
    return entries


def _apart(
    attributes: tuple[Combination, str, str],
    leaving: Combination,
    rng: random.Random,
    generator: torch.Generator,
) -> tuple[Scenes, Scenes, Regions]:
    """A scene that stays, one that goes, and a region around it that leaves the other alone."""
    while True:
        size = rng.choice(("small", "", "large"))
        scenes = place([attributes] * CANDIDATES, generator)
        gone = place([(leaving, size, attributes[2])] * CANDIDATES, generator)
        regions = following(gone, generator)
        index = (covered(scenes, cover(regions)) == 0).nonzero()
        if len(index):
            return scenes.take(index[0]), gone.take(index[0]), regions.take(index[0])


def replacements(count: int, seed: int) -> list[dict]:
    """A shape becomes one of a held-out combination, another colour and another shape."""
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    entries = []
    for combination in [c for c in heldout_combinations() for _ in range(count)]:
        _, size, ground = sample_attributes(1, [combination], rng)[0]
        leaving = rng.choice(_others(combination, same_direction=True))
        gone = place([(leaving, size, ground)], generator)
        empty = place([(leaving, size, ground)], generator)
        empty.colour = empty.background
        prompt = describe(combination, size, ground, rng, partial=0)
        seed_of = 1000 * seed + len(entries)
        region = following(gone, generator)
        entries.append(_entry(prompt, seed_of, combination, (empty, gone, region), "shape"))
    return entries


def kept_frames(count: int, seed: int, kept: list[tuple[int, int]]) -> list[dict]:
    """Only so many first and last frames of a clip of a held-out combination are kept."""
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    entries = []
    for combination in [c for c in heldout_combinations() for _ in range(count)]:
        _, size, ground = sample_attributes(1, [combination], rng)[0]
        scene = place([(combination, size, ground)], generator)
        prompt = describe(combination, size, ground, rng, partial=0)
        region = frames_kept([rng.choice(kept)], torch.device("cpu"))
        seed_of = 1000 * seed + len(entries)
        entries.append(_entry(prompt, seed_of, combination, (scene, scene, region), "frames"))
    return entries


def heldout_table() -> dict[str, list[dict]]:
    """The cases of each group, the same on every machine."""
    return {
        "remove one of two": removals(2, seed=41),
        "remove": removals(1, seed=42, alone=True),
        "replace": replacements(2, seed=43),
        "first and last frame": kept_frames(1, seed=44, kept=[(1, 1)]),
        "first frames and last frame": kept_frames(1, 45, kept=[(k, 1) for k in range(2, 10)]),
        "first frames": kept_frames(1, seed=46, kept=[(k, 0) for k in range(2, 10)]),
    }


if __name__ == "__main__":
    groups = [
        f"{json.dumps(name)}: [\n" + ",\n".join(map(json.dumps, entries)) + "\n]"
        for name, entries in heldout_table().items()
    ]
    Path(sys.argv[1]).write_text("{\n" + ",\n".join(groups) + "\n}\n")
