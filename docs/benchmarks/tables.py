"""The tables of the documentation, in Markdown, from stored rows.

    python docs/benchmarks/tables.py speeds
    python docs/benchmarks/tables.py heldout
    python docs/benchmarks/tables.py slow_bus
    python docs/benchmarks/tables.py field --rows docs/benchmarks/field-capped.jsonl

`field` gives the ratio to its row `none`, which has everything on the GPU and no cap.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from common import HERE, off, rows, say

GIB = 2**30
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--rows", type=Path, help="default: TABLE.jsonl")
    args = parser.parse_args()
    stored = rows(args.rows or HERE / f"{args.table}.jsonl")
    heads, cells = TABLES[args.table]
    say(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for line in cells(stored):
        say(f"| {' | '.join(line)} |")


def number(value: float | None, digits: int = 2) -> str:
    return "n/a" if value is None else f"{value:.{digits}f}"


def gib(value: float | None) -> str:
    return number(value / GIB if value is not None else None)


def pair(row: Row, predicted: str, measured: str, scale: float = 1.0) -> str:
    """``predicted / measured (+1.0%)``."""
    share = off(row, predicted, measured)
    expected, actual = row.get("predicted", {}).get(predicted), row.get(measured)
    if share is None:
        return f"n/a / {number(actual / scale if actual else None)}"
    return f"{expected / scale:.2f} / {actual / scale:.2f} ({share:+.1%})"


def speeds(stored: Sequence[Row]) -> Iterable[list[str]]:
    for r in stored:
        clip = f"{r.get('size', r['asked'])}"
        if r["run"] == "plain":
            seconds = [number(r["seconds"].get("decode")), "", "", "", ""]
            yield [r["model"], clip, "plain diffusers", number(r["step_seconds"]), "1.00", *seconds]
        elif "error" not in r:
            run = f"`{r['run']}`" + " (warm)" * bool(r["nth"])
            exact = r.get("identical") and r["latents"] == 0.0
            same = "identical" if exact else f"{r.get('latents', 0):.1e}"
            psnr = (r.get("clip") or {}).get("psnr")
            rest = r["total"] - r["seconds"]["denoise"] - r["seconds"].get("compile", 0.0)
            yield [
                r["model"], clip, run, number(r["step_seconds"]), number(r.get("ratio"), 3),
                number(r["seconds"]["decode"]), number(r["seconds"].get("compile")), number(rest),
                pair(r, "peak_allocated", "allocated", GIB),
                same + (f", {psnr:.0f} dB" if psnr and not r["identical"] else ""),
            ]  # fmt: skip


def heldout(stored: Sequence[Row]) -> Iterable[list[str]]:
    for r in sorted(stored, key=lambda r: r["number"]):
        tier = f"`{r['tier']}`" + (f", {r['limit']:g} GiB" if r["limit"] else "")
        about = [r["model"], r["asked"], str(r["steps"]), tier, f"`{r['speed']}`", r["state"]]
        if "error" in r:
            yield [*about, r["error"], "", ""]
            continue
        peak = pair(r, "peak_allocated", "allocated", GIB)
        step, total = pair(r, "step_seconds", "step_seconds"), pair(r, "seconds", "total")
        yield [*about, peak, step, total]


def slow_bus(stored: Sequence[Row]) -> Iterable[list[str]]:
    for r in stored:
        peak = gib(r.get("allocated"))
        rate = number(r["locked"] / GIB if r.get("locked") else None, 1)
        step = r.get("error") or pair(r, "step_seconds", "step_seconds")
        yield [f"`{r['run']}`", str(r.get("blocks")), rate, peak, step]


def field(stored: Sequence[Row]) -> Iterable[list[str]]:
    base = next((r["step_seconds"] for r in stored if r["way"] == "none" and not r["cap"]), None)
    for r in stored:
        step = r.get("step_seconds")
        seconds = r.get("seconds") or {}
        yield [
            f"`{r['way']}`", f"{r['cap']:g}" if r["cap"] else "none", gib(r.get("allocated")),
            gib(r.get("reserved")), gib(r.get("ram") or r.get("ram_peak")),
            number(seconds.get("place"), 1), r.get("error") or number(step),
            number(step / base if step and base else None), number(seconds.get("call"), 1),
        ]  # fmt: skip


TABLES: dict[str, tuple[tuple[str, ...], Callable[[Sequence[Row]], Iterable[list[str]]]]] = {
    "speeds": (
        (
            "model", "clip", "run", "s/step", "ratio", "decoding, s", "compiling, s",
            "all but denoising, s", "allocated, GiB", "latents and frames",
        ),
        speeds,
    ),
    "heldout": (
        (
            "model", "clip", "steps", "tier", "speed", "files", "allocated, GiB", "s/step",
            "total, s",
        ),
        heldout,
    ),
    "slow_bus": (("run", "blocks", "bus, GiB/s", "allocated, GiB", "s/step"), slow_bus),
    "field": (
        (
            "way", "cap, GiB", "allocated, GiB", "reserved, GiB", "RAM, GiB", "placing, s",
            "s/step", "ratio", "call, s",
        ),
        field,
    ),
}  # fmt: skip
"""Each table's heads, and what gives its lines."""


if __name__ == "__main__":
    main()
