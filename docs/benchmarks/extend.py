"""Seams of extended clips, with the embedded models on a CPU.

    python docs/benchmarks/extend.py                       # appends rows to extend.jsonl
    python docs/benchmarks/extend.py --picture seams.png   # also draws the frames around the seams

Each chain begins with a clip of the text-to-video model and is extended twice, with and without
the seam matched (colours and details), and with an overlap of 1 and of 4 frames. A row has, for
each seam:

- the largest step between two frames across it, the overlap included, divided by the mean step
  between the other frames of both clips (a step is the mean |difference| of the pixels);
- the mean difference, in levels, between the model's first frame and the frame that it repeats;

and the difference of the background between the first frame and the last, in levels. Chains that
have a row are left out.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import cogmagic
from cogmagic._video.seam import cross_fade, match_seam

ROWS = Path(__file__).with_name("extend.jsonl")
CHAINS = (
    ("red circle", ("right", "down", "left")),
    ("blue square", ("up", "left", "down")),
    ("green triangle", ("left", "up", "right")),
    ("yellow circle", ("down", "right", "up")),
    ("white square", ("right", "up", "left")),
    ("cyan circle", ("left", "down", "right")),
)
GROUNDS = ("black", "dark blue", "gray", "black", "dark green", "black")
VARIANTS = ((1, True), (1, False), (4, True))  # overlap, and whether the seam is matched
Array = np.ndarray[Any, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny-i2v")
    parser.add_argument("--picture", type=Path, help="PNG of the frames around the seams")
    args = parser.parse_args()
    lines = ROWS.read_text(encoding="utf-8").splitlines() if ROWS.exists() else []
    made = {(row["what"], row["overlap"], row["matched"]) for row in map(json.loads, lines)}
    pictures = []
    for seed, ((what, ways), ground) in enumerate(zip(CHAINS, GROUNDS, strict=True), 1):
        for overlap, matched in VARIANTS:
            done = (what, overlap, matched) in made
            if done and not (args.picture and matched):
                continue
            row, around = chain(what, ways, ground, seed, overlap, matched, args.model)
            if matched:
                pictures.append(around)
            if not done:
                print(row, flush=True)
                with ROWS.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
    if args.picture:
        Image.fromarray(np.concatenate(pictures)).save(args.picture)


def chain(
    what: str,
    ways: tuple[str, ...],
    ground: str,
    seed: int,
    overlap: int,
    matched: bool,
    model: str,
) -> tuple[dict[str, Any], Array]:
    """A row, and the frames around the seams side by side."""
    with tempfile.TemporaryDirectory() as folder:
        options: dict[str, Any] = {"seed": seed, "progress": False, "size": "64x64"}
        options |= {"num_frames": 9}

        def clip(way: str, name: str, **given: Any) -> Array:
            prompt = f"a {what} moves {way} on a {ground} background"
            save = Path(folder) / f"{name}.png"
            return cogmagic.generate(prompt, save=save, **options, **given).frames()

        video, ratios, offsets, around = clip(ways[0], "first"), [], [], []
        for number, way in enumerate(ways[1:]):
            picture = Image.fromarray(video[-overlap])
            new = clip(way, str(number), model=model, image=picture).copy()
            difference = np.abs(new[0].astype(float) - video[-overlap]).mean()
            offsets.append(round(float(difference), 3))
            (match_seam if matched else cross_fade)(new, video[-overlap:])
            seam = len(video)
            video = np.concatenate([video[:-overlap], new])
            ratios.append(round(step_ratio(video, seam, overlap, len(new)), 3))
            around.append(np.concatenate(list(video[seam - 4 : seam + 4]), axis=1))
    first, last = (background(frame) for frame in (video[0], video[-1]))
    row = {
        "what": what,
        "directions": ways,
        "background": ground,
        "seed": seed,
        "model": model,
        "overlap": overlap,
        "matched": matched,
        "seam_step_ratio": ratios,
        "first_frame_difference": offsets,
        "background_drift": round(float(np.abs(first - last).max()), 3),
    }
    return row, np.concatenate(around, axis=1)


def step_ratio(video: Array, seam: int, overlap: int, new: int) -> float:
    """The largest step from the overlap's first frame to the frame after it, by the mean of others.

    The others are those of the two clips that meet at the seam.
    """
    begin = max(seam - overlap - new, 0)
    steps = np.abs(np.diff(video[begin:].astype(float), axis=0)).mean(axis=(1, 2, 3))
    across = slice(seam - overlap - begin, seam - begin)
    return float(steps[across].max() / np.delete(steps, np.arange(len(steps))[across]).mean())


def background(frame: Array) -> Array:
    """The colour of most of a frame, which the shape covers less than half of."""
    colour: Array = np.median(frame.reshape(-1, 3), axis=0)
    return colour


if __name__ == "__main__":
    main()
