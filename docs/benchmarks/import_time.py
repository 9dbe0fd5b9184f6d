"""What ``%load_ext cogmagic`` costs beyond IPython itself, in fresh processes.

    python docs/benchmarks/import_time.py

Prints the median seconds of starting a shell and of loading the extension into it, their ratio,
and which heavy libraries came in (none should).
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

RUNS = 7
PROGRAM = """
import json, sys, time
began = time.perf_counter()
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance(history_length=0)
started = time.perf_counter()
shell.run_line_magic("load_ext", "cogmagic")
loaded = time.perf_counter()
heavy = {"torch", "diffusers", "transformers", "accelerate", "numpy", "PIL", "av"}
print(json.dumps([started - began, loaded - started, sorted(heavy & set(sys.modules))]))
"""


def main() -> None:
    rows = []
    for _ in range(RUNS + 1):
        run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True)  # noqa: S603
        rows.append(json.loads(run.stdout.splitlines()[-1]))
    shell, extension = (
        statistics.median(column) for column in list(zip(*rows[1:], strict=True))[:2]
    )
    print(f"IPython shell            {shell * 1000:6.0f} ms")
    print(f"%load_ext cogmagic       {extension * 1000:6.0f} ms  ({extension / shell:.0%} of it)")
    print(f"heavy libraries loaded   {', '.join(rows[-1][2]) or 'none'}")


if __name__ == "__main__":
    main()
