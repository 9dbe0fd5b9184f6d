"""How long after an interrupt the kernel is idle and the GPU empty, in the longest steps there are.

    python docs/benchmarks/interrupt.py --model /scratch/1.5-5b --tiers none,stream

Presses (SIGINT) at random moments of denoising and of decoding. A JSON row of each press: seconds
until the call ended, everything freed, and what torch still has allocated.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from stream import facts

import cogmagic

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", required=True)
    parser.add_argument("--tiers", default="none,stream", help="separated by commas")
    parser.add_argument("--phases", default="denoise,denoise,decode", help="separated by commas")
    parser.add_argument("--within", type=float, default=8.0, help="seconds from the phase's start")
    parser.add_argument("--out", type=Path, default=HERE / "interrupt.jsonl")
    args = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    chance = random.Random(1)
    for tier in args.tiers.split(","):
        for phase in args.phases.split(","):
            row = pressed(args.model, tier, phase, chance.uniform(0.2, args.within))
            line = json.dumps({"model": Path(args.model).name} | row | facts())
            with args.out.open("a") as file:
                file.write(line + "\n")
            sys.stdout.write(f"{row}\n")
            sys.stdout.flush()


def pressed(model: str, tier: str, phase: str, after: float) -> dict[str, Any]:
    """One run, interrupted so many seconds after the phase began."""
    import torch

    pressed_at: list[float] = []
    timers: list[threading.Timer] = []

    def press() -> None:
        pressed_at.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    def tell(progress: cogmagic.Progress) -> None:
        if progress.phase == phase and not timers:
            timers.append(threading.Timer(after, press))
            timers[0].start()

    before = torch.cuda.memory_allocated() if torch.cuda.is_initialized() else 0
    row: dict[str, Any] = {"tier": tier, "phase": phase, "after": round(after, 2)}
    try:
        with tempfile.TemporaryDirectory() as folder:
            cogmagic.generate(
                "a red circle moves", model=model, tier=tier, num_inference_steps=2, seed=42,
                save=Path(folder) / "clip.mp4", on_progress=tell,
            )  # fmt: skip
        row["came"] = "video"
    except (cogmagic.Cancelled, KeyboardInterrupt) as error:
        row["came"] = f"{type(error).__name__}: {error}"
    ended = time.monotonic()
    for timer in timers:
        timer.cancel()
    row["seconds"] = round(ended - pressed_at[0], 3) if pressed_at else None
    row["left"] = torch.cuda.memory_allocated() - before
    return row


if __name__ == "__main__":
    main()
