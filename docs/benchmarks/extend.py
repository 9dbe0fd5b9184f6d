"""Seams of extended clips, with the embedded models on a CPU.

    python docs/benchmarks/extend.py                       # appends rows to extend.jsonl
    python docs/benchmarks/extend.py --picture seams.png   # also draws the frames around the seams

Each chain begins with a clip of the text-to-video model and is extended, with and without the seam
matched (colours and details), and with an overlap of 1 and of 4 frames: once at the models' own
size, twice at a small one. A row has, for each seam:

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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import cogmagic
from cogmagic._video.seam import cross_fade, match_seam

ROWS = Path(__file__).with_name("extend.jsonl")
CHAINS = (
    ("red circle", "black", ("right", "down", "left")),
    ("blue square", "dark blue", ("up", "left", "down")),
    ("green triangle", "gray", ("left", "up", "right")),
    ("yellow circle", "black", ("down", "right", "up")),
    ("white square", "dark green", ("right", "up", "left")),
    ("cyan circle", "black", ("left", "down", "right")),
)
SETTINGS = (("96x96", 17, 1), ("64x64", 9, 2))  # size, frames, extensions
VARIANTS = ((1, True), (1, False), (4, True))  # overlap, and whether the seam is matched
Array = np.ndarray[Any, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", type=Path, help="PNG of the frames around the seams")
    args = parser.parse_args()
    lines = ROWS.read_text(encoding="utf-8").splitlines() if ROWS.exists() else []
    made = {(r["size"], r["what"], r["overlap"], r["matched"]) for r in map(json.loads, lines)}
    pictures = []
    for size, num_frames, extensions in SETTINGS:
        for seed, (what, ground, ways) in enumerate(CHAINS, 1):
            clips = Clips(f"a {what} moves {{}} on a {ground} background", size, num_frames, seed)
            for overlap, matched in VARIANTS:
                if (done := (size, what, overlap, matched) in made) and not args.picture:
                    continue
                measured, around = chain(clips, ways[: extensions + 1], overlap, matched)
                if matched and size == SETTINGS[0][0]:
                    pictures.append(around)
                if not done:
                    row = {"size": size, "what": what, "background": ground, "seed": seed}
                    row |= {"directions": ways[: extensions + 1], "overlap": overlap}
                    row |= {"matched": matched} | measured
                    print(row, flush=True)
                    with ROWS.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(row) + "\n")
    if args.picture:
        Image.fromarray(np.concatenate(pictures)).save(args.picture)


@dataclass
class Clips:
    """Clips of one prompt, in which the direction varies; each is made once."""

    prompt: str
    size: str
    num_frames: int
    seed: int
    made: dict[object, Array] = field(default_factory=dict)

    def clip(self, way: str, picture: Array | None = None) -> Array:
        """The frames of a new clip, from a first frame or from none."""
        key = way, None if picture is None else picture.tobytes()
        if key not in self.made:
            first: dict[str, Any] = {}
            if picture is not None:
                first = {"image": Image.fromarray(picture), "model": "tiny-i2v"}
            with tempfile.TemporaryDirectory() as folder:
                self.made[key] = cogmagic.generate(
                    self.prompt.format(way), size=self.size, num_frames=self.num_frames,
                    seed=self.seed, progress=False, save=Path(folder) / "a.png", **first,
                ).frames()  # fmt: skip
        return self.made[key].copy()


def chain(
    clips: Clips, ways: tuple[str, ...], overlap: int, matched: bool
) -> tuple[dict[str, Any], Array]:
    """The measurements of a row, and the frames around the seams side by side."""
    video, ratios, differences, around = clips.clip(ways[0]), [], [], []
    for way in ways[1:]:
        new = clips.clip(way, video[-overlap])
        difference = np.abs(new[0].astype(float) - video[-overlap]).mean()
        differences.append(round(float(difference), 3))
        (match_seam if matched else cross_fade)(new, video[-overlap:])
        seam = len(video)
        video = np.concatenate([video[:-overlap], new])
        ratios.append(round(step_ratio(video, seam, overlap, len(new)), 3))
        around.append(np.concatenate(list(video[seam - 6 : seam + 6]), axis=1))
    first, last = (background(frame) for frame in (video[0], video[-1]))
    measured = {"seam_step_ratio": ratios, "first_frame_difference": differences}
    drift = round(float(np.abs(first - last).max()), 3)
    return measured | {"background_drift": drift}, np.concatenate(around, axis=1)


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
