"""Draws the pictures of docs/images from stored rows.

    pip install matplotlib
    python docs/benchmarks/plot.py stream
    python docs/benchmarks/plot.py timeline

`stream`: seconds a step over the card's size, from stream.jsonl and tiers.jsonl. A card's size is
what `stream` was limited to, or else what was reserved and the CUDA context. `timeline`: the phases
of a warm call at each speed, from the second run of a kind in speeds.jsonl. Those runs have few
steps; the picture has `--steps`, the further ones at the measured seconds a step.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from common import HERE, rows

IMAGES = HERE.parent / "images"
SPEEDS = ("exact", "fast", "faster")
PHASES = {
    "load": "#8a8f98",
    "encode": "#b2452f",
    "denoise": "#3b6fb6",
    "decode": "#2f8f5b",
    "save": "#c9a227",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("picture", choices=("stream", "timeline"))
    parser.add_argument("--model", default="5b")
    parser.add_argument("--whole", type=float, default=25.2, help="GiB that `none` needs")
    parser.add_argument("--steps", type=int, default=50, help="of the call in the time line")
    parser.add_argument("--rows", type=Path, help="of the time line (default: speeds.jsonl)")
    parser.add_argument("--out", type=Path, help="default: docs/images/PICTURE.svg")
    args = parser.parse_args()
    out = args.out or IMAGES / f"{args.picture}.svg"
    if args.picture == "stream":
        draw(measured("stream", args.model), measured("tiers", args.model), args.whole, out)
    else:
        warm = warm_calls(rows(args.rows or HERE / "speeds.jsonl"), args.model)
        draw_timeline({s: phases_of(r, args.steps) for s, r in warm.items()}, args.steps, out)


def measured(name: str, model: str) -> list[dict[str, Any]]:
    return [r for r in rows(HERE / f"{name}.jsonl") if r["model"] == model and "step_seconds" in r]


def plotter() -> Any:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "cogmagic", "font.size": 11}
    from matplotlib import pyplot as plt

    return plt


def draw(
    streamed: list[dict[str, Any]], tiers: list[dict[str, Any]], whole: float, out: Path
) -> None:
    """A line for each kind of blocks, `none` at the size that it needs; a point for other tiers."""
    plt = plotter()
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


def warm_calls(stored: list[dict[str, Any]], model: str) -> dict[str, dict[str, Any]]:
    """The last warm call of each speed with no offload, by speed, at the model's own size."""
    warm = {
        r["speed"]: r
        for r in stored
        if r["model"] == model and not r["asked"] and r.get("nth") and "error" not in r
        if r["run"] == f"{r.get('speed')}:none"
    }
    return {speed: warm[speed] for speed in SPEEDS if speed in warm}


def phases_of(row: dict[str, Any], steps: int) -> dict[str, float]:
    """Seconds of each phase of a row's call, had it had so many steps."""
    seconds = {phase: row["seconds"].get(phase, 0.0) for phase in PHASES}
    seconds["load"] += row["seconds"].get("compile", 0.0)
    seconds["denoise"] += (steps - row["steps"]) * row["step_seconds"]
    return seconds


def draw_timeline(calls: dict[str, dict[str, float]], steps: int, out: Path) -> None:
    """A bar for each speed, the fastest at the bottom."""
    plt = plotter()
    _, axes = plt.subplots(figsize=(7.5, 0.9 + 0.6 * len(calls)), layout="constrained")
    for y, phases in enumerate(calls.values()):
        start = 0.0
        for phase, seconds in phases.items():
            label = phase if y == 0 else None
            axes.barh(-y, seconds, 0.6, start, color=PHASES[phase], label=label)
            if phase == "denoise":
                place = {"ha": "center", "va": "center", "color": "white"}
                axes.text(start + seconds / 2, -y, f"{seconds:.1f} s", **place)
            start += seconds
        axes.text(start, -y, f" {start:.1f} s", va="center")
    widest = max(sum(phases.values()) for phases in calls.values())
    axes.set(xlabel=f"seconds of a warm call of {steps} steps", xlim=(0, widest * 1.1))
    axes.set_yticks([-y for y in range(len(calls))], list(calls))
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    handles, names = axes.get_legend_handles_labels()
    place = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": len(PHASES)}
    axes.legend(handles, names, frameon=False, **place)
    plt.savefig(out, metadata={"Date": None})


if __name__ == "__main__":
    main()
