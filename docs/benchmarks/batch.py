"""A batch that is killed at a random row and started again: every row once, in order, RAM flat.

    python docs/benchmarks/batch.py --rows 200 --kills 3 --out docs/benchmarks/batch.jsonl

Each start is a process of its own that makes the rows with the embedded model at its smallest
settings. All but the last are killed with SIGKILL at a random moment of a random row. Afterwards
every row must have one file and one line, finished rows must not have been made again, and the
frames of five rows must equal those of single runs. The last line has the seconds a row, after the
first two, beside those of single warm runs in one process (on a busy machine compare the CPU's
seconds), and the process's private memory.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

OPTIONS = {"size": "64x64", "frames": 9, "steps": 2}

MAKE = """
import json, sys, time
import cogmagic
from cogmagic._machine.ram import own_ram
rows, options = json.loads(sys.argv[1]), json.loads(sys.argv[2])
def report(progress):
    print(json.dumps({"row": progress.row, "phase": progress.phase}), flush=True)
    if sys.argv[3:] and progress.row == len(rows):  # it is to be killed before it has them all
        time.sleep(600)
for video in cogmagic.generate_many(rows, save="batch", on_progress=report, **options):
    facts = {"video": video.path.name, "at": time.monotonic(), "cpu": time.process_time(),
             "ram": own_ram()}
    print(json.dumps(facts | {"sha256": video.report.frames_sha256}), flush=True)
"""

SINGLE = """
import json, sys, time
import cogmagic
from cogmagic._machine.ram import own_ram
seeds, options = json.loads(sys.argv[1]), json.loads(sys.argv[2])
for seed in seeds:
    prompt = f"a red circle moves to the right, {seed % 50}"
    video = cogmagic.generate(prompt, seed=seed, save="single/", progress=False, **options)
    facts = {"seed": seed, "at": time.monotonic(), "cpu": time.process_time(),
             "ram": own_ram()}
    print(json.dumps(facts | {"sha256": video.report.frames_sha256}), flush=True)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--kills", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--out", type=Path, help="where the lines go as well")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for line in measured(Path(folder), args.rows, args.kills, random.Random(args.seed)):
            print(json.dumps(line), flush=True)
            if args.out:
                with args.out.open("a") as file:
                    file.write(json.dumps(line) + "\n")


def measured(folder: Path, rows: int, kills: int, chance: random.Random) -> list[dict[str, Any]]:
    """A line for each start and one for the whole; fails if a row is not made exactly once."""
    lines, listed = [], set[int]()
    for kill in range(kills):
        at = chance.randrange(len(listed) + 2, rows)
        events = run_batch(folder, rows, at, chance)
        began_with, listed = listed, finished(folder)
        made = {e["row"] for e in events if e.get("phase") == "denoise"}
        assert not made & began_with, "a finished row was made again"
        assert len(began_with) < len(listed) < rows
        lines.append({"kill": kill, "at_row": at, "finished": len(listed)})
    events = run_batch(folder, rows)
    made = {e["row"] for e in events if e.get("phase") == "denoise"}
    assert made == set(range(1, rows + 1)) - listed
    check_once(folder, rows, [e["video"] for e in events if "video" in e])
    return [*lines, comparison(folder, events, rows, made)]


def check_once(folder: Path, rows: int, names: list[str]) -> None:
    """Check that `names` are those of all rows in order, and that each row was made once."""
    digits = max(4, len(str(rows)))
    assert names == [f"{n:0{digits}}-{n - 1}.mp4" for n in range(1, rows + 1)], "order"
    assert sorted(p.name for p in (folder / "batch").glob("*.mp4")) == names
    entries = (folder / "batch" / "finished.jsonl").read_bytes().splitlines()
    counts = Counter(json.loads(line)["row"] for line in entries if line.startswith(b'{"row"'))
    assert counts == Counter(range(1, rows + 1)), "a row is listed twice or never"


def comparison(
    folder: Path, events: list[dict[str, Any]], rows: int, made: set[int]
) -> dict[str, Any]:
    """The last start beside single warm runs of the last rows, whose frames must be equal."""
    videos = [e for e in events if "video" in e][rows - len(made) :]
    seeds = list(range(max(rows - max(len(made) // 4, 6), 0), rows))
    single = start(folder, SINGLE, json.dumps(seeds), json.dumps(OPTIONS))
    alone = [json.loads(line) for line in single.stdout or () if line.startswith("{")]
    single.wait()
    digests = {e["video"].split("-")[1].removesuffix(".mp4"): e["sha256"] for e in videos}
    for run in alone[-5:]:
        assert digests[str(run["seed"])] == run["sha256"], "the frames of a row differ"
    ram = [e["ram"] for e in videos[2:]]
    return {
        "rows": rows,
        "made_last": len(made),
        "seconds_a_row": seconds_each(videos, "at"),
        "seconds_a_single_run": seconds_each(alone, "at"),
        "cpu_seconds_a_row": seconds_each(videos, "cpu"),
        "cpu_seconds_a_single_run": seconds_each(alone, "cpu"),
        "ram_after_third_row": ram[0],
        "ram_highest": max(ram),
        "ram_at_end": ram[-1],
        "ram_single_runs": max(run["ram"] for run in alone),
    }


def rows_of(count: int) -> list[dict[str, Any]]:
    """The rows of the batch; several have the same prompt."""
    return [
        {"prompt": f"a red circle moves to the right, {n % 50}", "seed": n} for n in range(count)
    ]


def seconds_each(events: list[dict[str, Any]], clock: str) -> float:
    """Median seconds of a clock from one end to the next, without the first two."""
    ends = [e[clock] for e in events[2:]]
    return round(median(b - a for a, b in pairwise(ends)), 4)


def run_batch(
    folder: Path,
    rows: int,
    at: int | None = None,
    chance: random.Random | None = None,
    options: Mapping[str, Any] = OPTIONS,
) -> list[dict[str, Any]]:
    """What one start reports; it is killed within row `at`, if that is given."""
    held = [] if at is None else ["killed"]
    process = start(folder, MAKE, json.dumps(rows_of(rows)), json.dumps(options), *held)
    assert process.stdout is not None
    events = []
    for line in process.stdout:
        if line.startswith("{"):
            events.append(json.loads(line))
            if at is not None and chance is not None and events[-1].get("row") == at:
                time.sleep(chance.uniform(0.0, 0.3))
                process.kill()
                break
    process.wait()
    assert at is not None or process.returncode == 0
    return events


def start(folder: Path, code: str, *args: str) -> subprocess.Popen[str]:
    (folder / "single").mkdir(exist_ok=True)
    return subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, "-c", code, *args], stdout=subprocess.PIPE, text=True, cwd=folder
    )


def finished(folder: Path) -> set[int]:
    """The rows that are listed as finished."""
    lines = (folder / "batch" / "finished.jsonl").read_bytes().splitlines()
    return {json.loads(line)["row"] for line in lines if line.endswith(b"}")}


if __name__ == "__main__":
    main()
