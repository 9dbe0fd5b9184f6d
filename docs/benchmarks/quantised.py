"""What quantised weights need and cost: memory of every phase against the plan, seconds, frames.

    python docs/benchmarks/quantised.py --model /scratch/5b
    python docs/benchmarks/quantised.py --model /scratch/5b --tiers none,stream --forms int8,nf4

``--forms`` are values of ``--quantize``, and ``exact`` for none. Each row is written at once, rows
that are in the file are not made again, and a form that cannot run has its error in its row. The
differences are those of the frames to the exact ones of the same tier in this process.
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

HERE = Path(__file__).parent
TIERS = "none,model,stream,staged,sequential"
FORMS = "exact,int8:text_encoder,nf4:text_encoder,int8:transformer,nf4:transformer,int8,nf4"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", required=True)
    parser.add_argument("--tiers", default=TIERS)
    parser.add_argument("--forms", default=FORMS)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--out", type=Path, default=HERE / "quantised.jsonl")
    args = parser.parse_args()
    rows = args.out.read_text().splitlines() if args.out.is_file() else []
    done = {tuple(json.loads(row)[key] for key in ("model", "tier", "form")) for row in rows}
    for tier in args.tiers.split(","):
        exact = None
        for form in args.forms.split(","):
            key = Path(args.model).name, tier, form
            if key in done and (form != "exact" or exact_is_done(args, tier, done)):
                continue
            frames, row = run(args, tier, form)
            exact = frames if form == "exact" else exact
            if frames is not None and exact is not None:
                off = np.abs(frames.astype(np.int16) - exact)
                row |= {"most_off": int(off.max()), "mean_off": float(off.mean())}
            if key not in done:
                with args.out.open("a") as file:
                    file.write(
                        json.dumps(dict(zip(("model", "tier", "form"), key, strict=True)) | row)
                        + "\n"
                    )
            peaks = {k: round(v / GIB, 2) for k, v in row.get("phases", {}).items()}
            sys.stdout.write(f"{tier} {form}: {row.get('error') or peaks} {row['wall']:.0f} s\n")
            sys.stdout.flush()


def exact_is_done(args: argparse.Namespace, tier: str, done: set[tuple[str, str, str]]) -> bool:
    """Whether no form of the tier still needs the exact frames."""
    return all((Path(args.model).name, tier, form) in done for form in args.forms.split(","))


def run(args: argparse.Namespace, tier: str, form: str) -> tuple[Any, dict[str, Any]]:
    """The frames, and the facts of the run."""
    PromptCache.clear()
    options = {} if form == "exact" else {"quantize": form}
    began, row = time.monotonic(), {}
    frames = None
    try:
        planned = cogmagic.plan(model=args.model, tier=tier, **options).chosen
        with tempfile.TemporaryDirectory() as folder:
            video = cogmagic.generate(
                "a red circle moves", model=args.model, tier=tier, seed=42, keep="cold",
                save=Path(folder) / "clip.png", num_inference_steps=args.steps, **options,
            )  # fmt: skip
            frames, report = video.frames(), video.report
        row |= {"phases": dict(report.peak_phases), "allocated": report.peak_vram}
        row |= {"planned": [dict(phases) for phases in planned.needs.gpus] if planned else []}
        row |= {"step_seconds": report.step_seconds, "seconds": dict(report.seconds)}
        row |= {"predicted": dict(report.predicted), "frames": report.frames_sha256}
    except cogmagic.CogMagicError as error:
        row |= {"error": str(error)[:200]}
    return frames, row | {"wall": time.monotonic() - began} | facts()


if __name__ == "__main__":
    main()
