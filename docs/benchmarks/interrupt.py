"""How long after an interrupt the kernel is idle and the GPU empty, in the longest steps there are.

    python docs/benchmarks/interrupt.py --model /scratch/1.5-5b --tiers none,stream
    python docs/benchmarks/interrupt.py --model /scratch/5b --speeds fast,faster \
        --phases compile,denoise,decode --within 3

Presses (SIGINT) at random moments of denoising and of decoding. A JSON row of each press: seconds
until the call ended, everything freed, and what torch still has allocated.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import tempfile
import threading
import time
from itertools import product
from pathlib import Path
from typing import Any

from common import HERE, PROMPT, append, facts, say

import cogmagic


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", required=True)
    parser.add_argument("--tiers", default="none,stream", help="separated by commas")
    parser.add_argument("--speeds", default="exact", help="separated by commas")
    parser.add_argument("--phases", default="denoise,denoise,decode", help="separated by commas")
    parser.add_argument("--within", type=float, default=8.0, help="seconds from the phase's start")
    parser.add_argument("--out", type=Path, default=HERE / "interrupt.jsonl")
    args = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    chance = random.Random(1)
    ways = product(*(a.split(",") for a in (args.speeds, args.tiers, args.phases)))
    for speed, tier, phase in ways:
        row = pressed(args.model, speed, tier, phase, chance.uniform(0.2, args.within))
        append(args.out, {"model": Path(args.model).name} | row | facts())
        say(str(row))


def pressed(model: str, speed: str, tier: str, phase: str, after: float) -> dict[str, Any]:
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
    row: dict[str, Any] = {"speed": speed, "tier": tier, "phase": phase, "after": round(after, 2)}
    try:
        with tempfile.TemporaryDirectory() as folder:
            cogmagic.generate(
                PROMPT, model=model, speed=speed, tier=tier, num_inference_steps=2, seed=42,
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
