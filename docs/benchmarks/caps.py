"""Cards of many sizes, emulated under hard caps: the plan must run, what it rejected must not.

    python docs/benchmarks/caps.py --model /scratch/5b --caps 5,6,8,10,12,16,20,24,32
    python docs/benchmarks/caps.py --model /scratch/1.5-5b --caps 25 --policy rule

For each cap of so many GiB the planner is given that limit, and torch's allocator is held to the
limit less the CUDA context. The chosen tier is run; so is each faster one that was rejected for
want of VRAM, which must run out. With `--exact` each tier is run under exactly the VRAM predicted
for it. A JSON row a run; rows that are there already are not run again.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shlex
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cogmagic
from cogmagic._files import cache_folder
from cogmagic._pipeline.prompt_cache import PromptCache
from cogmagic._units import GIB

HERE = Path(__file__).parent
KEY = ("model", "limit", "tier", "why", "steps")
"""What a row is known by."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", required=True)
    parser.add_argument("--name", help="what to call the model in the rows (default: its folder)")
    parser.add_argument("--caps", default="", help="GiB, separated by commas")
    parser.add_argument("--exact", action="store_true")
    parser.add_argument("--policy", default="auto")
    parser.add_argument("--steps", type=int, default=2)  # blocks are fetched ahead from the second
    parser.add_argument("--image", action="store_true", help="give a first frame (image-to-video)")
    parser.add_argument("--out", type=Path, default=HERE / "caps.jsonl")
    args = parser.parse_args()
    options: dict[str, Any] = {"model": args.model, "num_inference_steps": args.steps, "seed": 42}
    if args.image:
        from PIL import Image

        options["image"] = Image.linear_gradient("L").convert("RGB")
    runs = Runs(args.name or Path(args.model).name, options, args.out)
    if args.exact:
        found = cogmagic.plan(**options)
        for candidate in found.candidates:
            runs.run(candidate.peak_vram or 0, candidate.tier, "exactly what it is said to need")
    for cap in (float(c) for c in args.caps.split(",") if c):
        limit = round(cap * GIB)
        runs.forget()
        found = cogmagic.plan(**options, policy=args.policy, vram_limit=limit)
        runs.run(limit, found.tier, f"chosen by {args.policy}", fits=found.fits)
        rejected = [c for c in found.candidates if c.missing_vram]
        chosen = next(c for c in found.candidates if c.tier == found.tier)
        faster = [c for c in rejected if _seconds(c) <= _seconds(chosen) and c != chosen]
        for candidate in faster if args.policy == "auto" else ():
            runs.run(limit, candidate.tier, "rejected", fits=False)


def _seconds(candidate: Any) -> float:
    return candidate.seconds or 0.0


class Runs:
    """Runs a request under a limit, once, and keeps a row of it."""

    def __init__(self, name: str, options: dict[str, Any], out: Path) -> None:
        self.name, self.options, self.out = name, options, out
        self.scratch = Path(tempfile.mkdtemp()) / "clip.mp4"
        self.known, self.learnt = cache_folder(), Path(tempfile.mkdtemp()) / "cache"
        rows = [json.loads(x) for x in out.read_text().splitlines()] if out.exists() else []
        self.done = {tuple(r[key] for key in KEY) for r in rows}

    def forget(self) -> None:
        """Know what was known at first: a card of this size has not had the runs before."""
        shutil.rmtree(self.learnt, ignore_errors=True)
        if self.known.exists():
            shutil.copytree(self.known, self.learnt, ignore=shutil.ignore_patterns("texts"))
        os.environ["COGMAGIC_CACHE"] = str(self.learnt)

    def run(self, limit: int, tier: str, why: str, *, fits: bool = True) -> None:
        import torch

        steps = self.options["num_inference_steps"]
        row: dict[str, Any] = {"model": self.name, "limit": limit, "tier": tier, "why": why}
        row |= {"steps": steps, "predicted_to_run": fits}
        if tuple(row[key] for key in KEY) in self.done:
            return
        PromptCache.clear()  # the prompt is the same each time, and encoding is part of a run
        began = time.monotonic()
        try:
            video = cogmagic.generate(
                "a red circle moves", **self.options, tier=tier, vram_limit=limit,
                save=self.scratch, overwrite=True,
            )  # fmt: skip
            report = video.report
            row |= {"ran": True, "allocated": report.peak_vram, "step": dict(report.seconds)}
            row |= {
                "reserved": max(report.peak_reserved.values()),
                "size": f"{video.width}x{video.height}",
            }
            row |= {"num_frames": video.num_frames, "predicted": dict(report.predicted)}
        except cogmagic.OutOfMemoryError as error:
            row |= {"ran": False, "error": str(error)[:200]}
        gc.collect()
        row |= {"seconds": time.monotonic() - began, "card": torch.cuda.get_device_name()}
        row |= {"versions": {"torch": torch.__version__}, "command": shlex.join(sys.argv)}
        row["date"] = datetime.now(UTC).date().isoformat()
        with self.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        mark = "as predicted" if row["ran"] == fits else "NOT as predicted"
        peak = f"{row['allocated'] / GIB:.2f} GiB" if row["ran"] else "out of memory"
        shown = f"{self.name} under {limit / GIB:.2f} GiB, {tier} ({why}): {peak}, {mark}"
        sys.stdout.write(f"{shown}, {row['seconds']:.0f} s\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
