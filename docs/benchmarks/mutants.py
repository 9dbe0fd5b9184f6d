"""Mutation testing of the pure code: how many of the mutants drawn by a seed the tests kill.

    pip install mutmut==3.8.1
    python docs/benchmarks/mutants.py --seed 22 --count 400

Rows go to mutants.jsonl, one per mutant; an interrupted run resumes. `--part 2/8` runs every eighth
of them, for eight processes with an `--out` each. `--summary` prints the result again, and
`--only TEXT` runs those of all mutants whose names contain a text, without recording.
Linux only.

The mutations are mutmut's. Its own runner leaves out decorated functions (so all properties), class
bodies and constants, of which this code has many. Here each mutant is a whole module, compiled in a
fork of a process that has imported the libraries. The tests that run its lines in the unchanged
code decide, or all tests where a line runs at import; pytest stops at the first that fails. A
mutant also counts as killed if it takes five times the tests' time or more than 6 GiB.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mutants_draw import Mutant, draw, mutants
from mutants_run import Baseline, baseline, killer, warm_up

PACKAGE = Path(__file__).parents[2] / "cogmagic"
ROWS = Path(__file__).with_suffix(".jsonl")
REASONS = Path(__file__).with_name("mutants_equivalent.json")
"""Why a survivor needs no test, by its name."""

PURE = {
    "_planning": (
        *("candidate", "candidates", "checks", "correction", "dtype", "memory_options", "plan"),
        *("plan_json", "planner", "pools", "rule_of_thumb", "suggestions"),
    ),
    "_tiers": (
        *("balanced", "base", "device_map", "host_memory", "model", "needs", "none", "plain_pace"),
        *("registry", "sequential", "staged", "stream", "weight_files", "workload"),
    ),
    "_models": ("aliases", "request", "rules", "tiling"),
}
"""Modules to mutate."""

PLACING = frozenset(
    {
        *("place", "load", "check_load", "load_balanced", "check_assignment", "misplaced"),
        *("_fill", "_loaded", "_module_bytes", "_stream_transformer", "_group_offload"),
        "_wait_for_copies",
    }
)
"""Functions of tiers that move weights, which is not arithmetic."""


def population() -> list[Mutant]:
    """All mutants of the pure code."""
    paths = [PACKAGE / package / f"{name}.py" for package, names in PURE.items() for name in names]
    return [mutant for path in paths for mutant in mutants(path, PACKAGE, PLACING)]


def run(chosen: Iterable[Mutant], tests: Baseline, out: Path | None) -> None:
    """Test mutants one after another, print each and append its row to `out`."""
    for mutant in chosen:
        began = time.monotonic()
        lines = range(mutant.first_line, mutant.last_line + 1)
        by = killer(mutant.path, mutant.code, lines, tests)
        seconds = round(time.monotonic() - began, 1)
        print(f"{seconds:6.1f} s  {by or 'SURVIVED':60.60}  {mutant.name}", flush=True)
        if out is not None:
            row = {"mutant": mutant.name, "kind": type(mutant.before).__name__}
            row |= {"line": mutant.first_line, "killed_by": by, "seconds": seconds}
            with out.open("a") as file:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")


def rows_of(out: Path) -> dict[str, dict[str, Any]]:
    """The last row of each mutant."""
    lines = out.read_text().splitlines() if out.exists() else ()
    return {row["mutant"]: row for row in map(json.loads, lines)}


def print_summary(rows: list[dict[str, Any]], seed: int) -> None:
    """Print how many were killed, by kind, and the survivors with their reasons."""
    reasons = json.loads(REASONS.read_text()) if REASONS.exists() else {}
    survivors = [row["mutant"] for row in rows if not row["killed_by"]]
    explained = [name for name in survivors if name in reasons]
    killed = len(rows) - len(survivors)
    kinds = Counter(row["kind"] for row in rows)
    lived = Counter(row["kind"] for row in rows if not row["killed_by"])
    for kind, count in kinds.most_common():
        print(f"{kind:20} {count - lived[kind]:4} of {count:4} killed")
    for name in survivors:
        print(f"\nSURVIVED  {name}\n          {reasons.get(name, 'no reason')}")
    print(
        f"\nSeed {seed}: {len(rows)} mutants, {killed} killed ({killed / len(rows):.1%}),"
        f" {len(explained)} survived with a reason, {len(survivors) - len(explained)} survived."
    )


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=22)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--out", type=Path, default=ROWS)
    parser.add_argument("--only", help="run the mutants whose names contain this; record nothing")
    parser.add_argument("--again", action="store_true", help="run the survivors again")
    parser.add_argument("--part", default="1/1", help="which of how many processes this is")
    parser.add_argument("--summary", action="store_true", help="run nothing")
    args = parser.parse_args()
    drawn = draw(population(), args.seed, args.count)
    if args.only:
        chosen = [mutant for mutant in population() if args.only in mutant.name]
    else:
        done = rows_of(args.out)
        if args.again:
            done = {name: row for name, row in done.items() if row["killed_by"]}
        part, parts = map(int, args.part.split("/"))
        chosen = [mutant for mutant in drawn[part - 1 :: parts] if mutant.name not in done]
    if chosen and not args.summary:
        warm_up()
        tests = baseline()
        path = chosen[0].path
        control = killer(path, path.read_text(), range(1, 10**6), tests)
        assert not control, f"without a change, {control} fails"
        run(chosen, tests, None if args.only else args.out)
    if not args.only:
        rows = rows_of(args.out)
        print_summary([rows[m.name] for m in drawn if m.name in rows], args.seed)


if __name__ == "__main__":
    main()
