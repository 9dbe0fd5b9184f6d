"""One video on several GPUs beside the same on one: seconds, peaks of each GPU, differences.

    python docs/benchmarks/make_checkpoint.py 5b --out /scratch/5b
    python docs/benchmarks/parallel.py --model /scratch/5b --counts 1,2 --speeds exact,fast

A run is made twice in a row: the first starts the processes and reads the weights, the second is a
warm call, which can have its own number of steps. `ratio` and `call_ratio` are the seconds a step,
and of the whole call, of one GPU to those of the row. `clip` is the difference of the frames to one
GPU's at the same speed, of 255.
Rows that are in the file already are not run again, but those of one GPU, with which the others are
compared; no run begins after `--seconds`. Without a GPU it measures CPU processes.
"""

from __future__ import annotations

import argparse
import time
from itertools import product
from pathlib import Path
from typing import Any

from common import HERE, Runs, append, differences, facts, fresh_cache, rows, say, size_options

KEY = ("what", "model", "asked", "steps", "guidance_scale", "speed", "count", "nth")
"""What a row is known by."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", required=True)
    parser.add_argument("--counts", default="1,2", help="numbers of GPUs, 1 first")
    parser.add_argument("--speeds", default="exact,fast")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--warm-steps", type=int, help="steps of the second run (default: --steps)")
    parser.add_argument("--guidance-scale", type=float, default=6.0, help="1 divides tokens alone")
    parser.add_argument("--size", default="", help="WIDTHxHEIGHTxFRAMES (default: the model's)")
    parser.add_argument("--seconds", type=float, default=1e9, help="after which no run begins")
    parser.add_argument("--out", type=Path, default=HERE / "parallel.jsonl")
    args = parser.parse_args()
    fresh_cache()
    bench, began = Bench(args), time.monotonic()
    counts = [int(count) for count in args.counts.split(",")]
    for speed, count, nth in product(args.speeds.split(","), counts, (0, 1)):
        if time.monotonic() - began > args.seconds:
            break
        if count == 1 or not bench.is_done(speed, count):
            bench.run(speed, count, nth)


class Bench:
    """Runs of one request at several speeds, on one GPU and on several."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.runs, self.frames = args, Runs(args.model), capture()
        self.one: dict[tuple[str, int], tuple[dict[str, Any], Any]] = {}
        """The row and the frames of one GPU, by speed and number of the run."""
        self.done = {tuple(r.get(k) for k in KEY) for r in rows(args.out) if "error" not in r}

    def _about(self, speed: str, count: int, nth: int) -> dict[str, Any]:
        a = self.args
        steps = a.warm_steps if nth and a.warm_steps else a.steps
        about = ("run", self.runs.name, a.size, steps, a.guidance_scale, speed, count, nth)
        return dict(zip(KEY, about, strict=True))

    def is_done(self, speed: str, count: int) -> bool:
        """Whether the file has both runs."""
        return all(tuple(self._about(speed, count, n).values()) in self.done for n in (0, 1))

    def run(self, speed: str, count: int, nth: int) -> None:
        """Measure one run, and compare it with that of one GPU."""
        row, options = self._about(speed, count, nth), size_options(self.args.size)
        settings: dict[str, Any] = {
            "speed": speed, "parallel": count, "num_inference_steps": row["steps"],
            "guidance_scale": self.args.guidance_scale,
        }  # fmt: skip
        self.frames.clear()
        row |= self.runs.measure(**settings, **options)
        if self.frames:
            self._compare(row, speed, count, nth)
        if count > 1 or tuple(self._about(speed, count, nth).values()) not in self.done:
            append(self.args.out, row | facts())
        names = ("step_seconds", "wall", "ratio", "call_ratio", "clip", "peaks", "predicted_peaks")
        say(f"{speed} {count} GPUs, run {nth}: " + str({k: row[k] for k in names if k in row}))

    def _compare(self, row: dict[str, Any], speed: str, count: int, nth: int) -> None:
        frames = self.frames[-1]
        if count == 1:
            self.one[speed, nth] = row, frames
            return
        if (speed, nth) not in self.one:
            return
        one, others = self.one[speed, nth]
        row["ratio"] = one["step_seconds"] / row["step_seconds"]
        row["call_ratio"] = one["wall"] / row["wall"]
        row["clip"] = differences(frames, others)


def capture() -> list[Any]:
    """The list that receives the frames of each run, before they are encoded to a file."""
    from cogmagic._session import session

    frames: list[Any] = []
    save = session.save_video

    def saving(video: Any, clip: Any, *rest: Any) -> Any:
        frames.append(clip)
        return save(video, clip, *rest)

    session.save_video = saving
    return frames


if __name__ == "__main__":
    main()
