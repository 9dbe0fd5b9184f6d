"""What each way to need less memory gives and costs, and the smallest limit under which it runs.

    python docs/benchmarks/savings.py --model /scratch/5b

First `none` and `stream` as they are; then `stream` with each set of options, without a limit, for
its frames and its pace, and under limits about the predicted one, halving what lies between the
least that ran and the most that did not. All in one process: a row's ratios are of the seconds of
`none`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from stream import facts

import cogmagic
from cogmagic._pipeline.prompt_cache import PromptCache
from cogmagic._units import GIB
from cogmagic._video.formats.mp4 import MP4

HERE = Path(__file__).parent
SETS = ((), ("lean_decode",), ("guidance_halves",), ("lean_decode", "guidance_halves"))
SETS += (("lean_decode", "guidance_halves", "fp8"),)
STEP = 0.1
"""GiB: to this the smallest limit is found."""
BELOW = 1.2
"""GiB under the predicted limit at which a run is taken to fail."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", required=True)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--floors", action="store_true", help="look for the smallest limits")
    parser.add_argument("--last", type=int, default=len(SETS), help="so many sets of options only")
    parser.add_argument("--out", type=Path, default=HERE / "savings.jsonl")
    args = parser.parse_args()
    bench = Bench(args)
    bench.row("none", ())
    for options in SETS[-args.last :]:
        bench.row("stream", options)
        if not args.floors:
            continue
        found = cogmagic.plan(model=args.model, tier="stream", **dict.fromkeys(options, True))
        bench.floor(options, bench.least(found))


class Bench:
    """Runs one request after another and keeps a row of each."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.scratch = args, Path(tempfile.mkdtemp()) / "clip.mp4"
        self.base: dict[str, Any] = {}
        self.frames: Any = None
        self.plain: Any = None
        write = MP4.write

        def kept(part: Any, frames: Any, *rest: Any) -> None:
            self.frames = frames
            write(part, frames, *rest)

        MP4.write = kept  # type: ignore[method-assign]

    def least(self, found: Any) -> float:
        """GiB that are predicted to be needed at least: with no block staying."""
        for limit in np.arange(2.0, 12.0, STEP):
            tried = cogmagic.plan(
                model=self.args.model, tier="stream", vram_limit=round(limit * GIB),
                **dict.fromkeys(found.savings.names, True),
            )  # fmt: skip
            if tried.fits:
                return float(limit)
        return 12.0

    def floor(self, options: tuple[str, ...], predicted: float) -> None:
        """Limits between one that runs and one that does not, nearer and nearer."""
        runs, fails = predicted + STEP, predicted - BELOW
        if "error" in self.row("stream", options, limit=round(runs, 2)):
            return
        while runs - fails > 1.5 * STEP:
            middle = round((runs + fails) / 2, 2)
            if "error" in self.row("stream", options, limit=middle):
                fails = middle
            else:
                runs = middle

    def row(
        self, tier: str, options: tuple[str, ...], *, limit: float | None = None
    ) -> dict[str, Any]:
        row: dict[str, Any] = {"model": Path(self.args.model).name, "tier": tier}
        row |= {"options": list(options), "limit": limit}
        PromptCache.clear()
        began = time.monotonic()
        try:
            video = cogmagic.generate(
                "a red circle moves", model=self.args.model, tier=tier, save=self.scratch,
                vram_limit=round(limit * GIB) if limit else None, overwrite=True, seed=42,
                num_inference_steps=2 if limit else self.args.steps, **dict.fromkeys(options, True),
            )  # fmt: skip
            report = video.report
            row |= {"allocated": report.peak_vram, "phases": dict(report.peak_phases)}
            row |= {"reserved": max(report.peak_reserved.values())}
            row |= {"step_seconds": report.step_seconds, "seconds": dict(report.seconds)}
            row |= {"predicted": dict(report.predicted), "frames": report.frames_sha256}
            row["size"] = f"{video.width}x{video.height}x{video.num_frames}"
            if limit is None:
                row |= self._beside(row)
        except cogmagic.CogMagicError as error:
            row |= {"error": str(error)[:200]}
        row |= {"wall": time.monotonic() - began} | facts()
        with self.args.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        shown = {k: row[k] for k in ("ratio", "decode_ratio", "most_off", "mean_off") if k in row}
        peaks = {k: round(v / GIB, 2) for k, v in row.get("phases", {}).items()}
        told = row.get("error") or f"{shown} {peaks} reserved {row['reserved'] / GIB:.2f}"
        sys.stdout.write(f"{tier} {options} {limit}: {told}, {row['wall']:.0f} s\n")
        sys.stdout.flush()
        return row

    def _beside(self, row: dict[str, Any]) -> dict[str, Any]:
        """Seconds and pixels beside those of the first run."""
        if not self.base:
            self.base, self.plain = row, self.frames
        off = np.abs(self.frames.astype(np.int16) - self.plain)
        return {
            "ratio": row["step_seconds"] / self.base["step_seconds"],
            "decode_ratio": row["seconds"]["decode"] / self.base["seconds"]["decode"],
            "most_off": int(off.max()),
            "mean_off": float(off.mean()),
        }


if __name__ == "__main__":
    main()
