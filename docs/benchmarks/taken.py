"""A second process takes VRAM between plan and run: the run ends with a video all the same.

    python docs/benchmarks/taken.py --model /scratch/5b --leave 12

The plan is made on a GPU that is free. While the weights are loaded, another process takes all but
so many GiB. What the run then does is its own: it is to free, plan again and go on. Prints a
JSON row, and fails if there is no video.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cogmagic
from cogmagic._units import GIB

TAKE = """
import sys, time, torch
torch.zeros(1, device="cuda")
free, _ = torch.cuda.mem_get_info()
held = torch.empty(max(free - int(sys.argv[1]), 0), dtype=torch.uint8, device="cuda")
print(held.numel(), flush=True)
time.sleep(600)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", required=True)
    parser.add_argument("--leave", type=float, default=12.0, help="GiB that stay free")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--out", type=Path, help="where the row goes as well")
    args = parser.parse_args()
    cogmagic.generate(  # what is planned next knows the card
        "a red circle", model=args.model, num_inference_steps=1, save=_scratch(), tier="stream",
        keep="cold",
    )  # fmt: skip
    taker: list[subprocess.Popen[str]] = []
    notes: list[str] = []

    def take(progress: cogmagic.Progress) -> None:
        if progress.note and progress.note not in notes:
            notes.append(progress.note)
        if progress.phase == "load" and progress.total and not taker:
            command = [sys.executable, "-c", TAKE, str(round(args.leave * GIB))]
            taker.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))  # noqa: S603
            assert taker[0].stdout is not None
            notes.append(f"taken: {int(taker[0].stdout.readline()) / GIB:.1f} GiB")

    planned = cogmagic.plan(model=args.model)
    try:
        video = cogmagic.generate(
            "a red circle", model=args.model, num_inference_steps=args.steps, save=_scratch(),
            on_progress=take,
        )  # fmt: skip
    finally:
        for process in taker:
            process.kill()
    row: dict[str, Any] = {"model": Path(args.model).name, "planned": planned.tier}
    row |= {"tier": video.report.tier, "reason": video.report.reason, "notes": notes}
    row |= {"seconds": dict(video.report.seconds), "device": video.report.device}
    line = json.dumps(row)
    sys.stdout.write(line + "\n")
    if args.out:
        with args.out.open("a") as file:
            file.write(line + "\n")


def _scratch() -> Path:
    return Path(tempfile.mkdtemp())


if __name__ == "__main__":
    main()
