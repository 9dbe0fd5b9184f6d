"""How close video-to-video stays to its input, by strength, with the embedded model on a CPU.

    python docs/benchmarks/strength.py     # appends rows to docs/benchmarks/strength.jsonl

Each input is a clip that the model has made of one prompt; the runs have another prompt. A row has
the PSNR between the output and the input for every strength. Pairs that have a row are left out.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import cogmagic

ROWS = Path(__file__).with_name("strength.jsonl")
STRENGTHS = (0.2, 0.4, 0.6, 0.8)
PAIRS = (
    ("a red circle moves to the right", "a blue circle moves to the right"),
    ("a blue square moves to the left", "a yellow square moves to the left"),
    ("a green circle moves up", "a green square moves up"),
    ("a white square moves down", "a red circle moves down"),
    ("a yellow circle moves to the left", "a green circle moves to the left"),
    ("a red square moves up", "a white square moves up"),
)


def main() -> None:
    lines = ROWS.read_text(encoding="utf-8").splitlines() if ROWS.exists() else []
    made = {(row["input"], row["prompt"]) for row in map(json.loads, lines)}
    for seed, (before, after) in enumerate(PAIRS, 1):
        if (before, after) in made:
            continue
        row = measured(before, after, seed)
        print(row, flush=True)
        with ROWS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def measured(before: str, after: str, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        options: dict[str, Any] = {"size": "64x64", "num_frames": 9, "seed": seed}
        options |= {"progress": False, "save": folder}
        clip = cogmagic.generate(before, **options).frames()
        psnr = {}
        for strength in STRENGTHS:
            video = cogmagic.generate(after, video=clip, strength=strength, **options)
            psnr[str(strength)] = round(peak_ratio(clip, video.frames()), 2)
    steps = cogmagic.plan(after).request.num_inference_steps
    return {"input": before, "prompt": after, "seed": seed, "steps": steps, "psnr": psnr}


def peak_ratio(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    """PSNR in dB."""
    error = float(((one.astype(float) - other) ** 2).mean())
    return float(10 * np.log10(255**2 / error))


if __name__ == "__main__":
    main()
