"""Kill a process that makes videos, at random moments, and look at every file that it leaves.

    python docs/benchmarks/kill.py --times 50

No file under its final name may be one that does not play, and the next run in the folder must
clear what is left over. Prints a JSON line for each kill, and fails if that does not hold.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import av

MAKE = """
import sys, time, cogmagic
def tell(progress):
    print(progress.phase, flush=True)
for seed in range(10**6):
    cogmagic.generate("a red circle", save=sys.argv[1] + "/", seed=seed, num_inference_steps=2,
                      num_frames=9, on_progress=tell)
    print("made", flush=True)
"""
CLEAR = """
import sys
from cogmagic._video.output_file import OutputFile
OutputFile.claim(sys.argv[1] + "/", 1).drop()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--out", type=Path, help="where the lines go as well")
    args = parser.parse_args()
    chance = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        for i in range(args.times):
            row = {"kill": i} | kill_once(Path(folder), chance)
            line = json.dumps(row)
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
            if args.out:
                with args.out.open("a") as file:
                    file.write(line + "\n")
            if row["broken"] or row["left_after"]:
                raise SystemExit("a file that does not play, or one that nobody clears")


def kill_once(folder: Path, chance: random.Random) -> dict[str, Any]:
    """Kill it after its first video, every other time while it saves, and look."""
    process = subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, "-c", MAKE, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    phase = ""
    for line in process.stdout:
        if line.strip() == "made":
            break
    if chance.random() < 0.5:
        while phase != "save":
            phase = process.stdout.readline().strip()
        moment = chance.uniform(0.0, 0.03)
        time.sleep(moment)
    else:
        moment = chance.uniform(0.0, 1.5)
        until = time.monotonic() + moment
        while time.monotonic() < until:
            phase = process.stdout.readline().strip()
    process.kill()
    process.wait()
    broken = [p.name for p in folder.glob("[!.]*.mp4") if not plays(p)]
    left = len(list(folder.glob(".*")))
    subprocess.run([sys.executable, "-c", CLEAR, str(folder)], check=True)  # noqa: S603
    return {
        "phase": phase,
        "seconds": round(moment, 3),
        "videos": len(list(folder.glob("[!.]*.mp4"))),
        "broken": broken,
        "left": left,
        "left_after": len(list(folder.glob(".*"))),
    }


def plays(path: Path) -> bool:
    """Whether every frame can be decoded."""
    try:
        with av.open(str(path)) as file:
            return sum(1 for _ in file.decode(video=0)) == 9
    except OSError:
        return False


if __name__ == "__main__":
    main()
