"""Inpainting at real size: each phase's peak against the plan, steps, and the way to the first one.

    python docs/benchmarks/make_checkpoint.py void --out F/void
    python docs/benchmarks/make_checkpoint.py 1.5-5b-inp --out F/1.5-5b-inp --share F/void
    python docs/benchmarks/inpaint.py --folder F               # adds rows to inpaint.jsonl
    python docs/benchmarks/inpaint.py --plans "RTX 3060"       # the plans alone, without a GPU

VOID removes an object of 85 to 400 frames, CogVideoX-Fun InP fills a part of a clip and meets a
last frame. Each runs streamed on a card of a few GiB, which an allocator's cap emulates, and all
resident. A row has the plan, the peak and the seconds of every phase, and the seconds from the call
to the end of the first step: cold where the run reads the weights, warm where they are in host
memory. Rows that are there already are not measured again, unless something else ran on the host
meanwhile (``beside``), which makes seconds worthless.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import HERE, Runs, append, facts, fresh_cache, rows, say

import cogmagic
from cogmagic._units import seconds

PROMPT = "a red circle moves"


@dataclass(frozen=True)
class Case:
    """One measurement."""

    name: str
    model: str
    run: str
    """TIER, or TIER:LIMIT for a card of so many GiB."""
    size: tuple[int, int, int]
    """Width, height and frames."""
    image: bool = False
    """Whether it has a first and a last frame; else it has a clip with a mask."""
    halves: bool = False
    again: bool = False
    """Whether it is run a second time, with the weights in host memory."""

    @property
    def tier(self) -> str:
        return self.run.partition(":")[0]

    def options(self, size: tuple[int, int, int] | None, steps: int) -> dict[str, Any]:
        """The options of the request and of the run; `size` in place of the case's own."""
        width, height, frames = size or self.size
        limit = self.run.partition(":")[2]
        options: dict[str, Any] = {"tier": self.tier, "width": width, "height": height}
        options |= {"num_frames": frames, "num_inference_steps": steps}
        options |= {"vram_limit": float(limit)} if limit else {}
        options |= {"guidance_halves": True} if self.halves else {}
        if self.image:
            first, last = clip(width, height, 2)
            return options | {"image": first, "last_image": last}
        return options | {"video": clip(width, height, frames), "mask": mask(width, height)}


V85, V197, V400, WIDE = (672, 384, 85), (672, 384, 197), (672, 384, 400), (1360, 768, 81)
CASES = (
    Case("void-85-6", "void", "stream:6", V85, again=True),
    Case("void-85", "void", "none", V85),
    Case("void-197-6", "void", "stream:6", V197),
    Case("void-197", "void", "none", V197),
    Case("void-400-6", "void", "stream:6", V400),  # in three chunks
    Case("inp-85-6", "1.5-5b-inp", "stream:6", V85, again=True),
    Case("inp-85", "1.5-5b-inp", "none", V85),
    Case("inp-frames-85-6", "1.5-5b-inp", "stream:6", V85, image=True),
    Case("inp-wide-8.5", "1.5-5b-inp", "stream:8.5", WIDE, halves=True),
    Case("inp-wide", "1.5-5b-inp", "none", WIDE, halves=True),
)
"""In an order in which each model is loaded once."""


def clip(width: int, height: int, frames: int) -> np.ndarray[Any, Any]:
    """A gradient that moves: uint8 RGB, frames × height × width × 3."""
    x = np.linspace(0, 255, width, dtype=np.float32)[None, :]
    y = np.linspace(0, 255, height, dtype=np.float32)[:, None]
    made = np.empty((frames, height, width, 3), np.uint8)
    for i in range(frames):
        made[i] = np.stack([(x + y * 0 + 3 * i) % 256, (y + x * 0) % 256, (x + y) / 2], -1)
    return made


def mask(width: int, height: int) -> np.ndarray[Any, Any]:
    """The middle of all frames."""
    made = np.zeros((height, width), bool)
    made[height // 4 : height // 2, width // 4 : width // 2] = True
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, help="of the checkpoints, named as the models")
    parser.add_argument("--cases", default="", help=f"only these of {', '.join(names())}")
    parser.add_argument("--size", default="", help="WIDTHxHEIGHTxFRAMES (default: the case's)")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1e9, help="after which no run begins")
    parser.add_argument("--plans", metavar="GPU", help="print the plans for a described GPU")
    parser.add_argument("--table", action="store_true", help="print the table of docs/inpaint.md")
    parser.add_argument("--out", type=Path, default=HERE / "inpaint.jsonl")
    args = parser.parse_args()
    fresh_cache()
    wanted = args.cases.split(",") if args.cases else names()
    selected = [case for case in CASES if case.name in wanted]
    if args.table:
        say(table())
        return
    if args.plans:
        for case in selected:
            show_plan(case, args)
        return
    done = {(r["case"], r["asked"]) for r in rows(args.out) if not r.keys() & {"error", "beside"}}
    began = time.monotonic()
    for case in selected:
        if (case.name, args.size) in done or not (args.folder / case.model).is_dir():
            continue
        if time.monotonic() - began > args.seconds:
            break
        row = measured(case, args)
        append(args.out, {"case": case.name, "asked": args.size} | row | facts())
        say(f"{case.name}: {row.get('error') or compared(row)}; {row['wall']:.0f} s in all")
    say(ratios(rows(args.out)))


def names() -> list[str]:
    return [case.name for case in CASES]


def size_of(args: argparse.Namespace) -> tuple[int, int, int] | None:
    return tuple(map(int, args.size.split("x"))) if args.size else None  # type: ignore[return-value]


_LOADED: list[str] = []
"""The model whose weights are in host memory."""


def measured(case: Case, args: argparse.Namespace) -> dict[str, Any]:
    """The plan and the run, and the seconds to the first step of a second one."""
    from cogmagic._pipeline.prompt_cache import PromptCache

    PromptCache.clear()  # else neither plan nor run would have the text encoder
    folder = str(args.folder / case.model)
    options = case.options(size_of(args), args.steps)
    plan = cogmagic.plan(PROMPT, model=folder, **options)
    runs = Runs(folder)
    row = runs.measure(**options)
    row |= {"model": case.model, "run": case.run, "planned": planned(plan), "steps": args.steps}
    row["first_step"] = {"warm" if case.model in _LOADED else "cold": runs.first}
    _LOADED[:] = [case.model]
    if case.again and "error" not in row:
        again = runs.measure(**options)
        row["first_step"] |= {"warm": runs.first}
        row["wall"] += again["wall"]
    return row


def planned(plan: cogmagic.Plan) -> dict[str, int]:
    """The plan's peak of each phase, without what past runs correct."""
    if plan.chosen is None:
        return {}
    phases = dict(plan.chosen.traced.gpus[0])
    phases["decode"] = max(phases["decode"], phases.pop("before decode", 0))
    return phases


def compared(row: Mapping[str, Any]) -> str:
    """Each phase's peak in GiB, how far the plan's is off, and the seconds of a step."""
    parts = []
    for phase, peak in row["phases"].items():
        expected = row["planned"].get(phase)
        off = f" ({expected / peak - 1:+.2%})" if expected and peak else ""
        parts.append(f"{phase} {peak / 2**30:.2f} GiB{off}")
    step = f"{row['step_seconds']:.3f} s a step" if row["step_seconds"] else ""
    first = ", ".join(f"first step {k} {v:.1f} s" for k, v in row["first_step"].items() if v)
    return ", ".join(filter(None, (*parts, step, first)))


def ratios(measured_rows: list[dict[str, Any]]) -> str:
    """The seconds of a streamed step as a share of those with all resident."""
    steps = {r["case"]: r.get("step_seconds") for r in measured_rows if "beside" not in r}
    lines = []
    for case in CASES:
        resident = next(
            (o.name for o in CASES if (o.model, o.size, o.tier) == (case.model, case.size, "none")),
            "",
        )
        if case.tier == "stream" and steps.get(case.name) and steps.get(resident):
            lines.append(f"{case.name}: {steps[case.name] / steps[resident]:.3f} of {resident}")
    return "\n".join(lines)


CARDS = (6, 8, 12, 24)
"""GiB of the cards in the table of the documentation."""
WISHES = (
    ("`void`, 672×384, 85 frames", "void", V85, False),
    ("`void`, 672×384, 197 frames", "void", V197, False),
    ("`1.5-5b-inp`, 672×384, 85 frames", "1.5-5b-inp", V85, False),
    ("`1.5-5b-inp`, 1360×768, 81 frames, `--guidance-halves`", "1.5-5b-inp", WIDE, True),
)


def table() -> str:
    """The plans for cards of several sizes, as a table in Markdown."""
    heads = " | ".join(f"{size} GiB" for size in CARDS)
    lines = [f"| | {heads} |", "|---" * (len(CARDS) + 1) + "|"]
    for words, model, size, halves in WISHES:
        cells = " | ".join(cell(model, size, card, halves=halves) for card in CARDS)
        lines.append(f"| {words} | {cells} |")
    return "\n".join(lines)


def cell(model: str, size: tuple[int, int, int], card: int, *, halves: bool) -> str:
    """The tier, the VRAM and the minutes of a plan, for a card with the speed of an RTX 3060."""
    width, height, frames = size
    plan = cogmagic.plan(
        PROMPT, model=model, machine=cogmagic.Machine.of(vram=card, ram=32),
        width=width, height=height, num_frames=frames, video=clip(84, 48, frames),
        mask=mask(84, 48), guidance_halves=halves,
    )  # fmt: skip
    if not plan.fits or plan.peak_vram is None or plan.seconds is None:
        return "does not fit"
    return f"{plan.tier}, {plan.peak_vram / 2**30:.1f} GiB, {seconds(plan.seconds, least=600)}"


def show_plan(case: Case, args: argparse.Namespace) -> None:
    machine = cogmagic.Machine.of(args.plans)
    options = case.options(size_of(args), args.steps)
    plan = cogmagic.plan(PROMPT, model=case.model, machine=machine, **options)
    peaks = ", ".join(f"{k} {v / 2**30:.2f}" for k, v in planned(plan).items())
    blocks = plan.variant.resident_blocks if case.tier == "stream" else "all"
    say(
        f"{case.name}: GiB {peaks}; blocks {blocks}; {plan.step_seconds or 0:.2f} s a step,"
        f" {plan.seconds or 0:.0f} s{'' if plan.fits else '; does not fit'}"
    )


if __name__ == "__main__":
    main()
