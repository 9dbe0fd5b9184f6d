"""Whether two checkouts make the same frames: ten runs of the embedded model in each, in one go.

    python docs/benchmarks/same_frames.py OTHER_CHECKOUT

Prints each run's digest in both and ends with an error where they differ. No digest is stored: they
depend on the CPU and on torch's version. Takes every tier that a CPU can do, and every option that
changes how memory is used.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

RUNS = [
    *({"tier": tier} for tier in ("none", "model", "stream", "staged", "sequential")),
    {"tier": "none", "lean_decode": True},
    {"tier": "stream", "guidance_halves": True},
    {"tier": "model", "fp8": True},
    {"tier": "staged", "fp8": True, "lean_decode": True},
    {"tier": "auto", "scheduler": "dpm", "width": 128, "height": 64, "num_frames": 9},
]

CODE = """
import json, sys
import cogmagic
for options in json.loads(sys.argv[1]):
    video = cogmagic.generate("a red circle moves to the right", seed=7, num_inference_steps=4,
                              save=sys.argv[2], **options)
    print("digest", video.report.frames_sha256, flush=True)
"""


def digests(checkout: Path) -> list[str]:
    """The SHA-256 of each run's frames, made by the code of `checkout`."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-c", CODE, json.dumps(RUNS), folder],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(checkout), "COGMAGIC_CACHE": folder},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return [line.split()[1] for line in done.stdout.splitlines() if line.startswith("digest")]


def main() -> None:
    """Compare this checkout with the one named on the command line."""
    here, other = Path(__file__).resolve().parents[2], Path(sys.argv[1]).resolve()
    pairs = list(zip(RUNS, digests(here), digests(other), strict=True))
    for options, mine, theirs in pairs:
        print("same" if mine == theirs else "DIFFERENT", mine[:12], theirs[:12], options)
    if any(mine != theirs for _, mine, theirs in pairs):
        sys.exit("The frames differ.")


if __name__ == "__main__":
    main()
