"""Compare guidance intervals by what they do to the embedded model's clips.

    python docs/embedded-model/guidance_intervals.py --prompts 12

Each row has the seconds of one core for denoising a clip, how the clips differ from those with
guidance in every step (PSNR and SSIM of the frames), and the score on the held-out prompts.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

from cogmagic._models.guidance_interval import guided_steps
from cogmagic._pipeline.guidance import guidance_interval
from evaluate import GUIDANCE, STEPS
from measure import read_clip, score
from step_caches import Bench, mean, psnr, ssim

HERE = Path(__file__).parent
INTERVALS = ((0.0, 1.0), (0.0, 0.5), (0.5, 1.0), (0.0, 0.0), (0.0, 0.25), (0.0, 0.75))
"""0 to 0 is no guidance in any step."""


class Intervals(Bench):
    """Generates the clips of each interval, and compares them with those of the first."""

    def row(self, begin: float, end: float) -> None:
        """Print and append the row of one interval."""
        steps = guided_steps(self.args.steps, begin, end)
        row = {"from": begin, "until": end, "steps": self.args.steps, "guided": len(steps)}
        clips, seconds = [], 0.0
        for entry in self.entries:
            seconds -= time.process_time()
            with guidance_interval(self.pipe.transformer, steps):
                latents = self.latents(entry)
            seconds += time.process_time()
            clips.append(self.decoded(latents))
        self.base = self.base or clips
        pairs = list(zip(clips, self.base, strict=True))
        row |= {"clips": len(clips), "seconds": round(seconds / len(clips), 3)}
        row |= {"psnr": mean(psnr(*p) for p in pairs), "ssim": mean(ssim(*p) for p in pairs)}
        row |= {"score": score([read_clip(c) for c in clips], self.wanted)}
        print(json.dumps(row), flush=True)
        with self.args.out.open("a") as file:
            file.write(json.dumps(row) + "\n")


def main() -> None:
    """Parse the command line, generate, and print and append a row for each interval."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="cogmagic/models/tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--prompts", type=int, default=12)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    parser.add_argument("--out", type=Path, default=HERE / "guidance_intervals.jsonl")
    torch.set_num_threads(1)
    bench = Intervals(parser.parse_args())
    for begin, end in INTERVALS:
        bench.row(begin, end)


if __name__ == "__main__":
    main()
