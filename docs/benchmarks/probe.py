"""How long a probe of the GPU and its host takes, and how far one is from the next.

    python docs/benchmarks/probe.py --times 10 --out docs/benchmarks/probe.jsonl

One JSON row a probe, in one process, CUDA started and the libraries imported before. Between them
the process waits, so that the rows also show how the host's pace wanders.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--wait", type=float, default=1.0, help="seconds between two probes")
    parser.add_argument("--out", type=Path, help="a file that takes a row a probe")
    args = parser.parse_args()

    import torch

    from cogmagic import Machine
    from cogmagic._machine.allocator import use_expandable_segments
    from cogmagic._machine.probe import probe
    from cogmagic._pipeline.libraries import import_libraries

    use_expandable_segments()
    import_libraries("t2v")
    device = torch.device("cuda", 0)
    torch.zeros(1, device=device)
    gpu = Machine.detect().gpus[0]
    for number in range(args.times):
        time.sleep(args.wait if number else 0)
        start = time.perf_counter()
        rates = probe(device)
        row = {
            "number": number,
            "seconds": time.perf_counter() - start,
            "rates": asdict(rates),
            "gpu": gpu.name,
            "torch": torch.__version__,
            "date": datetime.now(UTC).date().isoformat(),
            "command": shlex.join(sys.argv),
        }
        sys.stdout.write(
            f"{row['seconds']:.2f} s: {rates.products / 1e12:.0f} TFLOP/s in products, "
            f"{rates.attention / 1e12:.0f} in attention, {rates.fp8 / 1e12:.0f} in fp8 products, "
            f"{rates.memory / 1e12:.2f} TB/s in passes, copies "
            f"{rates.pageable / 2**30:.1f} and {rates.locked / 2**30:.1f} GiB/s, a tensor "
            f"{rates.tensor * 1e3:.3f} ms, mapping {rates.mapping / 2**30:.0f} GiB/s\n"
        )
        if args.out:
            with args.out.open("a") as file:
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
