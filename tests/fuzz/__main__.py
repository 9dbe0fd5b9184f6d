"""Fuzz the readers: ``python -m tests.fuzz --inputs 5000``.

Prints a JSON row for each reader: how many inputs passed its first check, how many were read or
refused, the longest time, the most memory, and the first failures. ``--reader NAME --first N
--inputs 1`` repeats one input.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=500, help="inputs a reader")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--seed", type=int, default=22)
    parser.add_argument("--reader", action="append", default=[], help="only this one; repeatable")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        from tests.fuzz.readers import endpoint

        os.environ |= {
            "COGMAGIC_CACHE": f"{folder}/cache", "HF_HOME": f"{folder}/hub", "HF_HUB_OFFLINE": "0",
            "HF_ENDPOINT": endpoint(), "NO_PROXY": "127.0.0.1", "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        from tests.fuzz import worker

        worker.main(range(args.first, args.first + args.inputs), args.seed, args.reader)


if __name__ == "__main__":
    sys.exit(main())
