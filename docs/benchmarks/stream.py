"""Streamed weights under hard caps, against the same request with everything on the GPU.

    python docs/benchmarks/stream.py --model /scratch/5b --limits 5.7,6,8,12,16,20,24

First `none` without a limit, then `stream` under each limit of so many GiB, in one process, and
`none` again after every second of them: a row's `ratio` is of its seconds a step to those of the
`none` next before it, for a card's pace drifts by a per cent or two. A cap of X on torch's
allocator is a limit of X + 0.7 GiB here, for the CUDA context.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from common import facts

import cogmagic
from cogmagic._pipeline import stop_checks as _cancel
from cogmagic._pipeline.prompt_cache import PromptCache
from cogmagic._units import GIB

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", required=True)
    parser.add_argument("--limits", default="")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--size", default="")
    parser.add_argument("--compile", action="store_true", help="also with compiled blocks")
    parser.add_argument("--halves", type=float, help="a limit under which guidance goes in halves")
    parser.add_argument("--brief", action="store_true", help="nothing else but `none` again")
    parser.add_argument("--out", type=Path, default=HERE / "stream.jsonl")
    args = parser.parse_args()
    bench = Bench(args)
    base = bench.row("none", None, base=None)
    for i, limit in enumerate(float(x) for x in args.limits.split(",") if x):
        bench.row("stream", limit, base=base)
        if i % 2:
            base = bench.row("none", None, base=base)
    if args.halves:
        bench.row("stream", args.halves, base=base, halves=True)
    if args.compile:  # twice each: the first time makes the code
        for _ in range(2):
            bench.row("none", None, base=base, compile=True)
            bench.row("stream", float(args.limits.split(",")[0]), base=base, compile=True)
            base = bench.row("none", None, base=base)
    if args.brief:
        bench.row("none", None, base=base)
        return
    with unbraked():
        bench.row("none", None, base=base, unbraked=True)
    bench.row("stream", None, base=base, again=True)


@contextmanager
def unbraked() -> Iterator[None]:
    """The host as far ahead of the GPU as it likes, which is how torch has it."""
    ahead = _cancel._BLOCKS_AHEAD
    _cancel._BLOCKS_AHEAD = 10**9
    try:
        yield
    finally:
        _cancel._BLOCKS_AHEAD = ahead


class Bench:
    """Runs one request after another and keeps a row of each."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.scratch = args, Path(tempfile.mkdtemp()) / "clip.mp4"
        self.options: dict[str, Any] = {"num_inference_steps": args.steps, "seed": 42}
        if args.size:
            width, height, frames = (int(x) for x in args.size.split("x"))
            self.options |= {"width": width, "height": height, "num_frames": frames}

    def row(
        self,
        tier: str,
        limit: float | None,
        *,
        base: dict[str, Any] | None,
        again: bool = False,
        compile: bool = False,  # noqa: A002 - the option's name
        unbraked: bool = False,
        halves: bool = False,
    ) -> dict[str, Any]:
        row: dict[str, Any] = {"model": Path(self.args.model).name, "tier": tier, "limit": limit}
        row |= {"again": again, "compile": compile, "unbraked": unbraked, "halves": halves}
        if not again:
            PromptCache.clear()  # the prompt is the same each time, and encoding is part of a run
        began = time.monotonic()
        first: list[float] = []

        def tell(progress: cogmagic.Progress) -> None:
            if progress.phase == "denoise" and not first:
                first.append(time.monotonic() - began)

        try:
            video = cogmagic.generate(
                "a red circle moves", model=self.args.model, tier=tier, save=self.scratch,
                vram_limit=round(limit * GIB) if limit else None, overwrite=True,
                on_progress=tell, compile=compile, guidance_halves=halves, **self.options,
            )  # fmt: skip
            report = video.report
            step = report.step_seconds
            row |= {
                "step_seconds": step,
                "ratio": step / base["step_seconds"] if base and step else 1.0,
                "allocated": report.peak_vram,
                "phases": dict(report.peak_phases),
                "reserved": max(report.peak_reserved.values()),
                "seconds": dict(report.seconds),
                "before_denoising": first[0],
                "predicted": dict(report.predicted),
                "reason": report.reason,
                "frames": report.frames_sha256,
                "size": f"{video.width}x{video.height}x{video.num_frames}",
            }
        except cogmagic.CogMagicError as error:
            row |= {"error": str(error)[:300]}
        gc.collect()
        row |= {"wall": time.monotonic() - began, "ram": _ram()} | facts()
        with self.args.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        told = "error" if "error" in row else f"{row['step_seconds']:.3f} s, x{row['ratio']:.3f}"
        shown = row.get("error") or f"{row['allocated'] / GIB:.2f} GiB {row['seconds']}"
        sys.stdout.write(f"{tier} {limit}: {told}, {shown}\n")
        sys.stdout.flush()
        return row


def _ram() -> int:
    """Bytes of the process's own memory: RssAnon and RssShmem, without mapped files."""
    info = psutil.Process().memory_info()
    return int(info.rss) - int(info.shared) + _shmem()


def _shmem() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssShmem"):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main()
