"""A model spread over the GPUs by ``balanced``, beside ``stream`` on one of them.

    python docs/benchmarks/balanced.py --model /scratch/5b --limit 16

First `balanced` with the GPUs as they are, then `stream` on one, then `balanced` again while
another process holds three quarters of the GPU that came first, and at last, where one is named,
under a limit of so many GiB on each GPU. Each GPU's peak is set beside the planned one; while
frames are made, the modules are searched for hooks that offload. A JSON row of each; rows that are
there are not run again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stream import facts

import cogmagic
from cogmagic._session.session import session
from cogmagic._tiers.device_map import misplaced
from cogmagic._units import GIB

HERE = Path(__file__).parent
TAKE = """
import sys, time, torch
index, share = int(sys.argv[1]), float(sys.argv[2])
whole = torch.cuda.get_device_properties(index).total_memory
held = torch.empty(round(whole * share), dtype=torch.uint8, device=index)
print(held.numel(), flush=True)
time.sleep(900)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", required=True)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--limit", type=float, help="GiB on each GPU, for the last row")
    parser.add_argument("--free", action="store_true", help="not with a GPU three quarters full")
    parser.add_argument("--out", type=Path, default=HERE / "balanced.jsonl")
    args = parser.parse_args()
    bench = Bench(args)
    first = bench.row("balanced", "as they are")
    bench.row("stream", "on one of them")
    if not args.free:
        with taken(int(first["order"][0]), 0.75):
            bench.row("balanced", "one three quarters full")
    if args.limit:
        bench.row("balanced", "under a limit on each", limit=args.limit)


@contextmanager
def taken(index: int, share: float) -> Iterator[None]:
    """Another process holds that share of a GPU."""
    command = [sys.executable, "-c", TAKE, str(index), str(share)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603
    try:
        assert process.stdout is not None
        assert process.stdout.readline(), "the other process could not take it"
        yield
    finally:
        process.kill()
        process.wait()


class Bench:
    """Runs one request after another and keeps a row of each."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.name = args, Path(args.model).name
        self.options = {"model": args.model, "num_inference_steps": args.steps, "seed": 42}
        lines = args.out.read_text().splitlines() if args.out.exists() else []
        kept = [json.loads(line) for line in lines]
        self.rows = {(r["model"], r["tier"], r["what"]): r for r in kept}

    def row(self, tier: str, what: str, limit: float | None = None) -> dict[str, Any]:
        if (self.name, tier, what) in self.rows:
            return self.rows[self.name, tier, what]
        given: dict[str, Any] = {"vram_limit": round(limit * GIB)} if limit else {}
        free = {g.index: g.available for g in cogmagic.Machine.detect().gpus}
        auto = cogmagic.plan(**self.options, **given)
        needs = next(c.needs for c in auto.candidates if c.tier == tier)
        row: dict[str, Any] = {"model": self.name, "tier": tier, "what": what, "limit": limit}
        row |= {
            "available": free,
            "order": needs.variant.order,
            "auto": auto.tier,
            "why": auto.reason,
        }
        row |= {"rule": auto.rule, "seen": []}

        def look(progress: cogmagic.Progress) -> None:
            if progress.phase == "denoise" and progress.done == 1:
                row["seen"] = seen(row)

        with tempfile.TemporaryDirectory() as folder:
            video = cogmagic.generate(
                "a red circle moves", **self.options, **given, tier=tier,
                save=Path(folder) / "clip.mp4", on_progress=look,
            )  # fmt: skip
        report = video.report
        order = needs.variant.order or tuple(report.peak_allocated)
        planned = dict(zip(order, (max(g.values()) for g in needs.gpus), strict=False))
        row |= {"planned": planned, "peaks": dict(report.peak_allocated)}
        row |= {"reserved": dict(report.peak_reserved), "device_map": dict(report.device_map)}
        row |= {"step_seconds": report.step_seconds, "planned_step": needs.step_seconds}
        row |= {"seconds": dict(report.seconds), "reason": report.reason}
        row |= {"frames": report.frames_sha256, "device": report.device}
        row |= facts()
        with self.args.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        off = {i: round(report.peak_allocated[i] / planned[i] - 1, 4) for i in planned}
        shown = f"peaks beside the plan {off}, {row['seen']}, {report.step_seconds:.3f} s a step"
        sys.stdout.write(f"{self.name} {tier} {what} {row['device_map']}: {shown}\n")
        sys.stdout.flush()
        return row


def seen(row: dict[str, Any]) -> list[str]:
    """What the pipeline shows while it runs: hooks that offload, slicing, tiling."""
    loaded = session().loaded
    assert loaded is not None
    pipe = loaded.pipe
    found = [f"slicing {pipe.vae.use_slicing}", f"tiling {pipe.vae.use_tiling}"]
    if row["tier"] == "balanced":
        found.append(misplaced(pipe, dict(pipe.hf_device_map)) or "no hook offloads")
    return found


if __name__ == "__main__":
    main()
