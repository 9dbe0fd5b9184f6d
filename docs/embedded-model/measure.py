"""Read colour, shape and direction off a clip by plain image arithmetic; nothing is learned.

The background is the median colour of the frame's border. The object is what differs from it; each
pixel counts by how far its colour lies from the background towards the object's. The object's mean
colour names the colour. The shape is the one of three ideal ones, of the same area and centroid,
that overlaps the object best, and only if the overlap is good. The way of the centroid names the
direction. Debris spoils area and overlap, so it counts as wrong.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from clips import DIRECTIONS, PALETTE, SHAPES

MIN_CONTRAST = 40.0  # RGB distance between object and background
MIN_FRAMES = 13  # of 17, in which an object must be found
MIN_TRAVEL = 1 / 12  # of the frame's shorter side, between the first and the last sight
MIN_OVERLAP = 0.78  # intersection over union with the ideal shape, mean over frames
HALO = 0.25  # share of the contrast that a blurred edge or a faint halo may differ by


class Reading(NamedTuple):
    """What a clip shows; None where nothing definite is there."""

    colour: str | None
    shape: str | None
    direction: str | None


class Sight(NamedTuple):
    """One frame's object: mean RGB, overlap with each ideal shape, centroid (x, y) in pixels."""

    colour: np.ndarray
    overlaps: np.ndarray
    centroid: np.ndarray


NOTHING = Reading(None, None, None)


def ideal(shape: str, area: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Coverage, 0..1, of an upright shape of this area (pixels) whose centroid is the origin."""
    if shape == "circle":
        distance = np.hypot(x, y) - np.sqrt(area / np.pi)
    elif shape == "square":
        distance = np.maximum(np.abs(x), np.abs(y)) - np.sqrt(area) / 2
    else:
        inner = np.sqrt(area / (3 * np.sqrt(3)))  # radius of the inscribed circle
        distance = np.maximum(y, 0.8660 * np.abs(x) - 0.5 * y) - inner
    return np.clip(0.5 - distance, 0, 1)


def find(frame: np.ndarray) -> Sight | None:
    """The object of one frame (float RGB in 0..255, [height, width, 3])."""
    border = np.concatenate([frame[0], frame[-1], frame[:, 0], frame[:, -1]])
    difference = np.linalg.norm(frame - np.median(border, axis=0), axis=-1)
    strongest = np.sort(difference, axis=None)[-max(difference.size // 400, 8) :].mean()
    if strongest < MIN_CONTRAST:
        return None
    core = difference > 0.8 * strongest
    cover = difference / np.median(difference[core])
    cover = np.clip((cover - HALO) / (1 - 2 * HALO), 0, 1)  # steeper, about the same half-way line
    area = cover.sum()
    if not 0.004 < area / cover.size < 0.4:
        return None
    rows, columns = np.mgrid[: cover.shape[0], : cover.shape[1]]
    centroid = np.array([(cover * columns).sum(), (cover * rows).sum()]) / area
    x, y = columns - centroid[0], rows - centroid[1]
    overlaps = []
    for shape in SHAPES:
        model = ideal(shape, area, x, y)
        overlaps.append(np.minimum(model, cover).sum() / np.maximum(model, cover).sum())
    return Sight(frame[core].mean(0), np.array(overlaps), centroid)


def read_clip(clip: np.ndarray) -> Reading:
    """Judge one clip: uint8 or float RGB in 0..255, [frames, height, width, 3]."""
    sights = [s for s in (find(frame.astype(np.float32)) for frame in clip) if s is not None]
    if len(sights) < MIN_FRAMES:
        return NOTHING
    mean = np.median([s.colour for s in sights], axis=0)
    colour = min(PALETTE, key=lambda name: float(np.linalg.norm(mean - np.array(PALETTE[name]))))
    overlaps = np.mean([s.overlaps for s in sights], axis=0)
    shape = SHAPES[int(overlaps.argmax())] if overlaps.max() > MIN_OVERLAP else None
    way = sights[-1].centroid - sights[0].centroid
    along = max(DIRECTIONS, key=lambda name: float(way @ np.array(DIRECTIONS[name])))
    travel = float(way @ np.array(DIRECTIONS[along]))
    sideways = float(np.abs(way).min())
    enough = travel > MIN_TRAVEL * min(clip.shape[1:3]) and sideways < travel / 2
    return Reading(colour, shape, along if enough else None)


def score(readings: list[Reading], wanted: list[tuple[str, str, str]]) -> dict[str, float]:
    """Share of clips with the right colour, shape, direction, and all three (joint)."""
    hits = np.array(
        [
            [a == b for a, b in zip(reading, want, strict=True)]
            for reading, want in zip(readings, wanted, strict=True)
        ]
    )
    shares = dict(zip(("colour", "shape", "direction"), hits.mean(0).tolist(), strict=True))
    shares["joint"] = float(hits.all(1).mean())
    return {name: round(value, 4) for name, value in shares.items()}
