"""Read colour, shape and direction off a clip by plain image arithmetic; nothing is learned.

The background is the median colour of the frame's border. The object is what differs from it by
more than half of the strongest difference. Its mean colour names the colour, the share of its
bounding box that it fills names the shape (square 1, circle 0.79, triangle 0.5), and the way of
its centroid names the direction. Stray pixels stretch the bounding box, so debris counts as wrong.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from clips import DIRECTIONS, PALETTE

MIN_CONTRAST = 40.0  # RGB distance
MIN_FRAMES = 13  # of 17, in which an object must be found
MIN_TRAVEL = 1 / 12  # of the frame's shorter side, between the first and the last sight
EXTENTS = {"triangle": (0.40, 0.64), "circle": (0.68, 0.875), "square": (0.885, 1.01)}


class Reading(NamedTuple):
    """What a clip shows; None where nothing definite is there."""

    colour: str | None
    shape: str | None
    direction: str | None


NOTHING = Reading(None, None, None)


def _find(frame: np.ndarray) -> tuple[np.ndarray, float, tuple[float, float]] | None:
    """Mean RGB, filled share of the bounding box, and centroid (x, y) of a frame's object."""
    border = np.concatenate([frame[0], frame[-1], frame[:, 0], frame[:, -1]])
    difference = np.linalg.norm(frame - np.median(border, axis=0), axis=-1)
    strongest = np.sort(difference, axis=None)[-max(difference.size // 400, 8) :].mean()
    if strongest < MIN_CONTRAST:
        return None
    mask = difference > strongest / 2
    share = mask.mean()
    if not 0.004 < share < 0.4:
        return None
    rows, columns = np.nonzero(mask)
    # Soft areas: pixels at the rim count by how far they are from the background, so that the
    # answer does not depend on where the pixel grid cuts the edge.
    cover = np.clip(difference / strongest, 0, 1)[
        rows.min() : rows.max() + 1, columns.min() : columns.max() + 1
    ]
    box = (cover.max(0).sum()) * (cover.max(1).sum())
    core = difference > 0.8 * strongest
    return frame[core].mean(0), float(cover.sum() / box), (columns.mean(), rows.mean())


def read_clip(clip: np.ndarray) -> Reading:
    """Judge one clip: uint8 or float RGB in 0..255, [frames, height, width, 3]."""
    found = [f for f in (_find(frame.astype(np.float32)) for frame in clip) if f is not None]
    if len(found) < MIN_FRAMES:
        return NOTHING
    mean = np.median([f[0] for f in found], axis=0)
    colour = min(PALETTE, key=lambda name: float(np.linalg.norm(mean - np.array(PALETTE[name]))))
    extent = float(np.median([f[1] for f in found]))
    shape = next((s for s, (low, high) in EXTENTS.items() if low < extent < high), None)
    way = np.array(found[-1][2]) - np.array(found[0][2])
    along = max(DIRECTIONS, key=lambda name: float(way @ np.array(DIRECTIONS[name])))
    travel = float(way @ np.array(DIRECTIONS[along]))
    sideways = float(np.abs(way).min())
    enough = travel > MIN_TRAVEL * min(clip.shape[1:3]) and sideways < travel / 2
    return Reading(colour, shape, along if enough else None)


def score(readings: list[Reading], wanted: list[tuple[str, str, str]]) -> dict[str, float]:
    """Share of clips with the right colour, shape, direction, and all three (joint)."""
    hits = np.array([[a == b for a, b in zip(r, w, strict=True)] for r, w in zip(readings, wanted, strict=True)])
    names = ("colour", "shape", "direction")
    return {**dict(zip(names, hits.mean(0).round(4).tolist(), strict=True)),
            "joint": round(float(hits.all(1).mean()), 4)}  # fmt: skip
