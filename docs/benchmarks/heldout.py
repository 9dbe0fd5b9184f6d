"""Held-out requests, drawn by a seed: predicted against measured peak, step and total seconds.

    python docs/benchmarks/heldout.py --models /scratch --list
    python docs/benchmarks/heldout.py --models /scratch

Twelve requests over models, sizes, lengths, tiers and speeds, of four to six steps. Before a `cold`
one the checkpoint's files are dropped from the page cache, before a `cached` one only the weights
in RAM; a `warm` one has both, unless it is the first of its model. `--list` shows the requests with
the seconds that an H200 is predicted to take. Rows that are in the file already are not run again;
`--only` takes the numbers of some requests. tests/measured/test_heldout.py has the limits.
"""

from __future__ import annotations

import argparse
import ctypes
import mmap
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from common import HERE, Runs, append, facts, fresh_cache, rows, say, shown, size_options

import cogmagic

MODELS = ("2b",) * 4 + ("5b",) * 5 + ("1.5-5b",) * 3
SPEEDS = ("exact", "fast", "faster") * 4
TIERS = ("none",) * 3 + ("model",) * 2 + ("stream",) * 4 + ("staged",) * 2 + ("sequential",)
STATES = ("cold",) * 3 + ("cached",) * 4 + ("warm",) * 5
SIZES = {
    "2b": ("720x480", "480x720", "640x384", "512x512", "960x544", "400x608"),
    "5b": ("720x480", "480x720", "640x384", "512x512", "960x544", "832x464"),
    "1.5-5b": ("1360x768", "768x1360", "848x480", "960x768"),
}
FRAMES = {"2b": (9, 17, 25, 33, 49), "5b": (9, 17, 25, 33, 49), "1.5-5b": (17, 33, 49)}
LIMITS = {"2b": (6.0, 9.0), "5b": (6.0, 9.0, 13.0), "1.5-5b": (10.0, 14.0)}
"""Sizes of cards, GiB, on which `stream` holds some of the blocks."""


@dataclass(frozen=True)
class Case:
    """One held-out request."""

    number: int
    model: str
    asked: str
    """WIDTHxHEIGHTxFRAMES."""
    steps: int
    tier: str
    limit: float | None
    speed: str
    state: str

    @property
    def options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"tier": self.tier, "speed": self.speed}
        options |= size_options(self.asked) | {"num_inference_steps": self.steps}
        return options | ({"vram_limit": self.limit} if self.limit else {})


def drawn(seed: int) -> list[Case]:
    """The requests of a seed, model by model."""
    chance = Random(seed)
    speeds, tiers, states = (chance.sample(x, len(x)) for x in (SPEEDS, TIERS, STATES))
    cases = []
    for i, model in enumerate(MODELS):
        size, frames = chance.choice(SIZES[model]), chance.choice(FRAMES[model])
        limit, steps = chance.choice(LIMITS[model]), chance.randint(4, 6)
        held = limit if tiers[i] == "stream" else None
        asked = f"{size}x{frames}"
        cases.append(Case(i, model, asked, steps, tiers[i], held, speeds[i], states[i]))
    return cases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--models", type=Path, help="folder of the checkpoints 2b, 5b and 1.5-5b")
    parser.add_argument("--seed", type=int, default=26)
    parser.add_argument("--only", default="", help="numbers of requests, such as 0,1,3")
    parser.add_argument("--list", action="store_true", help="only show the requests")
    parser.add_argument("--tiny", action="store_true", help="with the embedded model, at 64x64x9")
    parser.add_argument("--seconds", type=float, default=1e9, help="after which no run begins")
    parser.add_argument("--out", type=Path, default=HERE / "heldout.jsonl")
    args = parser.parse_args()
    only = [int(n) for n in args.only.split(",") if n]
    cases = [c for c in drawn(args.seed) if not only or c.number in only]
    if args.list:
        listed(cases)
        return
    fresh_cache()
    done = {(r["seed"], r["number"]) for r in rows(args.out)}
    began = time.monotonic()
    for case in cases:
        if (args.seed, case.number) in done:
            continue
        if time.monotonic() - began > args.seconds:
            break
        row = {"seed": args.seed} | asdict(case) | measured(case, args)
        append(args.out, row | facts())
        say(f"{case}: {shown(row)} {row.get('seconds')}")


def measured(case: Case, args: argparse.Namespace) -> dict[str, Any]:
    """One run, its weights where the case wants them."""
    from cogmagic._models.find import embedded_folder

    folder = embedded_folder() if args.tiny else args.models / case.model
    options = case.options | (size_options("64x64x9") if args.tiny else {})
    if args.tiny:  # a CPU has no VRAM to limit
        options.pop("vram_limit", None)
    if case.state != "warm":
        cogmagic.release()
    if case.state == "cold":
        drop_from_page_cache(folder)
    before = {"page_cache": share_in_page_cache(folder)}
    row = before | Runs(str(folder)).measure(**options)
    rates = cogmagic.Machine.detect().rates
    return row | {"rates": asdict(rates) if rates else None}


def listed(cases: list[Case]) -> None:
    machine, total = cogmagic.Machine.of("H200"), 0.0
    for case in cases:
        plan = cogmagic.plan(model=case.model, machine=machine, **case.options)
        total += plan.seconds or 0.0
        peak = (plan.peak_allocated or 0) / 2**30
        say(f"{case}: {plan.seconds or 0:.0f} s, {plan.step_seconds or 0:.2f} a step, {peak:.2f}")
    say(f"{total:.0f} s in all")


def files(folder: Path) -> list[Path]:
    return [f for f in folder.rglob("*") if f.is_file() and f.stat().st_size]


def drop_from_page_cache(folder: Path) -> None:
    """Drop a folder's files from the page cache; pages that a process maps stay."""
    for path in files(folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)  # or dirty pages would stay
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)


def share_in_page_cache(folder: Path) -> float:
    """Share of the bytes of a folder's files that are in the page cache (mincore)."""
    libc = ctypes.CDLL(None, use_errno=True)
    cached = pages = 0
    for path in files(folder):
        size = path.stat().st_size
        count = -(-size // mmap.PAGESIZE)
        with path.open("rb") as file, mmap.mmap(file.fileno(), size, mmap.MAP_PRIVATE) as view:
            flags = (ctypes.c_ubyte * count)()
            start = ctypes.addressof(ctypes.c_char.from_buffer(view))
            if libc.mincore(ctypes.c_void_p(start), ctypes.c_size_t(size), flags) == 0:
                cached += int((np.frombuffer(flags, np.uint8) & 1).sum())
            pages += count
    return cached / pages if pages else 0.0


if __name__ == "__main__":
    main()
