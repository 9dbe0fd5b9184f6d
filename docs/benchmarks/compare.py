"""Every prediction against the row that was measured: the whole table, misses included.

    python docs/benchmarks/compare.py
    python docs/benchmarks/compare.py --phases
    python docs/benchmarks/compare.py --caps

Each row of tiers.jsonl is planned again for an idle card of that kind and set beside what the run
took. Peaks are GiB allocated; RAM is the process's own, mapped files not counted. Or the rows' own
peaks, phase by phase. Or the outcomes under caps, in caps.jsonl: for each model and size of card
what was chosen, then what is faster and was rejected.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cogmagic import Machine
from cogmagic._machine.cards.efficiency import PROBED
from cogmagic._machine.rates import Rates
from cogmagic._models.find import find_model
from cogmagic._models.request import Request
from cogmagic._planning.memory_options import NOTHING_HERE, Available, MemoryOptions
from cogmagic._planning.plan import Plan
from cogmagic._planning.planner import plan
from cogmagic._units import GIB

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Pair:
    """A predicted and a measured amount."""

    predicted: float
    measured: float

    @property
    def off(self) -> float:
        """How far off the prediction is, as a share of what was measured."""
        return self.predicted / self.measured - 1


def rows(name: str = "tiers") -> list[dict[str, Any]]:
    return [json.loads(x) for x in (HERE / f"{name}.jsonl").read_text().splitlines()]


def replanned(row: dict[str, Any], here: Available = NOTHING_HERE) -> Plan:
    """The plan for the row's request and tier, on idle cards of its kind."""
    from PIL import Image

    model = find_model(row["model"])
    width, height = map(int, row["size"].split("x"))
    request = Request.of(
        "any prompt",
        model,
        width=width,
        height=height,
        num_frames=row["num_frames"],
        num_inference_steps=row["steps"],
        image=Image.new("RGB", (width, height)) if model.task == "i2v" else None,
    )
    machine = Machine.of("2x H100 SXM" if row["tier"] == "balanced" else "H100 SXM")
    if "rates" in row:  # as probed on that host, which decides over layers that come one by one
        machine = replace(machine, rates=probed(row["rates"], machine))
    return plan(request, machine, MemoryOptions(tier=row["tier"]), here)


def probed(rates: dict[str, Any], machine: Machine) -> Rates:
    """The rates of a row's probe, which knew 0.485 and 0.157 of its product; others are the card's.

    Probes measure attention, memory and more since predictions 1.6.
    """
    assert machine.rates is not None
    if "products" in rates:
        return Rates(**rates)
    product = rates["compute"] / 0.485
    known = {name: rates[name] for name in ("pageable", "locked", "tensor", "mapping")}
    return replace(
        machine.rates,
        products=product * PROBED.products,
        decode=product * PROBED.decode,
        source="probe",
        **known,
    )


def available(row: dict[str, Any]) -> Available:
    """What the run had: the files in the page cache, and after others, the weights in memory.

    The first run of a kernel loads them, and sequential offload, after staged loading dropped them.
    """
    first = next(r for r in rows() if r["model"] == row["model"]) == row
    loaded = not first and row["tier"] not in ("staged", "sequential", "balanced")
    return Available(cached=1.0, weights_loaded=loaded, first_run=first)


def pairs(row: dict[str, Any]) -> dict[str, Pair]:
    """Predicted and measured allocated peak, host memory, and seconds a step and in all."""
    found = replanned(row, available(row))
    assert found.peak_allocated is not None
    assert found.step_seconds is not None
    assert found.seconds is not None
    return {
        "allocated": Pair(found.peak_allocated / GIB, max(row["peak_allocated"].values()) / GIB),
        "ram": Pair(found.peak_ram / GIB, row["ram_peak"] / GIB),
        "step": Pair(found.step_seconds, row["step_seconds"]),
        "seconds": Pair(found.seconds, sum(row["seconds"].values())),
    }


def phases() -> None:
    """What each run held at most, phase by phase."""
    heads = ("peak", "load", "encode", "denoise", "decode", "s/step")
    out = sys.stdout.write
    out(f"| model | size, frames | tier | {' | '.join(heads)} |\n|{'---|' * 9}\n")
    for row in rows():
        named = row["peak_phases"]
        amounts = [named.get("load", 0), named["encode"], named["denoise"], named["decode"]]
        shown = " | ".join(f"{amount / GIB:.2f}" for amount in amounts)
        peak = max(row["peak_allocated"].values()) / GIB
        clip = f"| {row['model']} | {row['size']}, {row['num_frames']} | `{row['tier']}` |"
        out(f"{clip} **{peak:.2f}** | {shown} | {row['step_seconds']:.2f} |\n")


def caps() -> None:
    """Outcomes under caps, a row for each size of card."""
    swept = [r for r in rows("caps") if r["why"] in ("chosen by auto", "rejected")]
    models = list(dict.fromkeys(r["model"] for r in rows()))
    out = sys.stdout.write
    out("| card of | " + " | ".join(models) + " |\n|" + "---|" * (len(models) + 1) + "\n")
    for limit in sorted({r["limit"] for r in swept}):
        out(f"| {limit / GIB:g} GiB |")
        for model in models:
            kinds = (outcomes(swept, model, limit, w) for w in ("chosen by auto", "rejected"))
            out(f" {'; '.join(filter(None, kinds))} |")
        out("\n")


def outcomes(swept: list[dict[str, Any]], model: str, limit: int, why: str) -> str:
    """``a, b out of memory; c ran``."""
    found: dict[bool, list[str]] = {}
    for row in swept:
        if (row["model"], row["limit"], row["why"]) == (model, limit, why):
            found.setdefault(row["ran"], []).append(f"`{row['tier']}`")
    return "; ".join(
        f"{', '.join(tiers)} {'ran' if ran else 'out of memory'}" for ran, tiers in found.items()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--caps", action="store_true", help="the outcomes under caps")
    parser.add_argument("--phases", action="store_true", help="the rows' own peaks")
    args = parser.parse_args()
    if args.caps or args.phases:
        (caps if args.caps else phases)()
        return
    heads = ("allocated, GiB", "RAM, GiB", "s/step", "s in all")
    out = sys.stdout.write
    out("| model | clip | tier | " + " | ".join(heads) + " |\n|---|---|---|---|---|---|---|\n")
    for row in rows():
        cells = (
            f"{p.predicted:.2f} / {p.measured:.2f} ({p.off:+.1%})" for p in pairs(row).values()
        )
        clip = f"{row['size']}, {row['num_frames']}"
        out(f"| {row['model']} | {clip} | `{row['tier']}` | {' | '.join(cells)} |\n")


if __name__ == "__main__":
    main()
