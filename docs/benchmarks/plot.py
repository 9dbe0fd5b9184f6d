"""Draws seconds a step over the card's size, from stream.jsonl and tiers.jsonl.

    pip install matplotlib
    python docs/benchmarks/plot.py --model 5b --out docs/images/stream.svg

A card's size is what `stream` was limited to, or else what was reserved and the CUDA context.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="5b")
    parser.add_argument("--whole", type=float, default=25.2, help="GiB that `none` needs")
    parser.add_argument("--out", type=Path, default=HERE.parent / "images" / "stream.svg")
    args = parser.parse_args()
    draw(rows("stream", args.model), rows("tiers", args.model), args.whole, args.out)


def rows(name: str, model: str) -> list[dict[str, Any]]:
    lines = (HERE / f"{name}.jsonl").read_text().splitlines()
    return [r for r in map(json.loads, lines) if r["model"] == model and "step_seconds" in r]


def draw(
    streamed: list[dict[str, Any]], tiers: list[dict[str, Any]], whole: float, out: Path
) -> None:
    """A line for each kind of blocks, `none` at the size that it needs; a point for other tiers."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "cogmagic", "font.size": 11}
    from matplotlib import pyplot as plt

    _, axes = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
    for compiled, label, colour in (
        (False, "as they are", "#3b6fb6"),
        (True, "compiled", "#2f8f5b"),
    ):
        kind = [r for r in streamed if bool(r.get("compile")) == compiled]
        kind = [r for r in kind if not any(r.get(k) for k in ("again", "unbraked", "halves"))]
        points: dict[float, list[float]] = {}
        for r in kind:
            points.setdefault(r["limit"] or whole, []).append(r["step_seconds"])
        sizes = sorted(points)
        means = [sum(points[s]) / len(points[s]) for s in sizes]
        axes.plot(sizes, means, "o-", color=colour, label=f"stream, blocks {label}")
        axes.annotate("none", (whole, means[-1]), (0, 8), textcoords="offset points", ha="center")
    for row in tiers:
        if row["run"] in ("model", "sequential"):
            size = max(row["peak_reserved"].values()) / 2**30 + 0.7  # the CUDA context
            axes.plot(size, row["step_seconds"], "o", color="#b2452f")
            place = {"xy": (size, row["step_seconds"]), "xytext": (9, -14)}
            axes.annotate(row["run"], textcoords="offset points", color="#b2452f", **place)
    axes.set(xlabel="card, GiB", ylabel="seconds a step", ylim=(0, 3.5), xlim=(4, whole + 1.5))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    plt.savefig(out, metadata={"Date": None})


if __name__ == "__main__":
    main()
