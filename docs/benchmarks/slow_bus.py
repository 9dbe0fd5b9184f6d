"""Streaming over a slow bus, emulated: each copy of weights to the GPU is made several times.

    python docs/benchmarks/slow_bus.py --model /scratch/5b

The copies are repeated on the stream that made them, in the probe as well, so that the planner
knows of the slow bus what it would know of a real one. A run is SPEED:LIMIT or SPEED:LIMIT:BLOCKS:
the card's size in GiB (5.7 is a cap of 5.0 on torch's allocator), and how many blocks stay on the
GPU in place of the planner's number. `+fp8` after a speed stores the weights in fp8. Rows have the
number of blocks that stay, and predicted and measured seconds a step; those that are in the file
already are not run again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from common import HERE, Runs, append, facts, fresh_cache, rows, say, shown, size_options

import cogmagic
from cogmagic._session.run import Run
from cogmagic._tiers.base import Variant
from cogmagic._tiers.stream import Stream

RUNS = "exact:5.7,exact+fp8:5.7,fast:5.7,faster:5.7,fast:9,fast:9:0"
LEAST = 2**20
"""Bytes of a tensor that counts as weights in the probe; its smaller ones time the host."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", required=True)
    parser.add_argument("--runs", default=RUNS)
    parser.add_argument("--times", type=int, default=8, help="how often each copy is made")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--size", default="", help="WIDTHxHEIGHTxFRAMES (default: the model's)")
    parser.add_argument("--seconds", type=float, default=1e9, help="after which no run begins")
    parser.add_argument("--out", type=Path, default=HERE / "slow_bus.jsonl")
    args = parser.parse_args()
    fresh_cache()
    bus, runs, began = SlowBus(args.times), Runs(args.model), time.monotonic()
    done = {(r["model"], r["asked"], r["times"], r["run"]) for r in rows(args.out)}
    for run in args.runs.split(","):
        if (runs.name, args.size, args.times, run) in done:
            continue
        if time.monotonic() - began > args.seconds:
            break
        row = {"model": runs.name, "asked": args.size, "times": args.times, "run": run}
        row |= measured(runs, run, args) | {"copies": bus.copies}
        append(args.out, row | facts())
        say(f"{run}: {row['blocks']} blocks stay, {shown(row)}")


def measured(runs: Runs, run: str, args: argparse.Namespace) -> dict[str, Any]:
    """A row of one run, with the number of blocks that stay on the GPU."""
    speed, limit, *blocks = run.split(":")
    speed, plus, _ = speed.partition("+")
    options: dict[str, Any] = {"tier": "stream", "speed": speed, "fp8": bool(plus)}
    options |= {"num_inference_steps": args.steps} | size_options(args.size)
    if limit:
        options["vram_limit"] = float(limit)
    with resident(int(blocks[0])) if blocks else nullcontext(), variants() as used:
        row = runs.measure(**options)
    rates = cogmagic.Machine.detect().rates
    row |= {"blocks": used[-1].resident_blocks if used else None}
    return row | {"locked": rates.locked if rates else None, "steps": args.steps}


@contextmanager
def variants() -> Iterator[list[Variant]]:
    """A list of the variants of the runs that are made."""
    used: list[Variant] = []
    original = Run.frames

    def frames(run: Run, hot: Any) -> Any:
        used.append(run.plan.variant)
        return original(run, hot)

    Run.frames = frames  # type: ignore[method-assign]
    try:
        yield used
    finally:
        Run.frames = original  # type: ignore[method-assign]


@contextmanager
def resident(blocks: int) -> Iterator[None]:
    """So many blocks stay on the GPU, whatever the planner would choose."""
    original = Stream.choose
    Stream.choose = lambda *_: Variant(blocks)  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        Stream.choose = original  # type: ignore[method-assign]


class SlowBus:
    """Makes each copy of weights several times, in group offload, in whole copies and the probe."""

    def __init__(self, times: int) -> None:
        from diffusers.hooks.group_offloading import ModuleGroup

        from cogmagic._machine import probe
        from cogmagic._tiers import host_copy

        self.times, self.copies = times, 0
        transfer, copy, probing = ModuleGroup._transfer_tensor_to_device, host_copy._to, probe.probe

        def slow_transfer(group: Any, tensor: Any, source: Any, stream: Any) -> None:
            transfer(group, tensor, source, stream)
            self._repeat(tensor.data, source, non_blocking=group.non_blocking)

        def slow_copy(tensor: Any, *args: Any) -> Any:
            moved = copy(tensor, *args)
            self._repeat(moved, tensor)
            return moved

        def slow_probe(device: Any) -> Any:
            with self._slow_moves():
                return probing(device)

        ModuleGroup._transfer_tensor_to_device = slow_transfer
        host_copy._to, probe.probe = slow_copy, slow_probe

    def _repeat(self, target: Any, source: Any, *, non_blocking: bool = False) -> None:
        self.copies += 1
        if target.device != source.device:
            for _ in range(self.times - 1):
                target.copy_(source, non_blocking=non_blocking)

    @contextmanager
    def _slow_moves(self) -> Iterator[None]:
        """`Tensor.to` as slow as the bus, for the probe."""
        import torch

        move = torch.Tensor.to

        def slow_move(tensor: Any, *args: Any, **options: Any) -> Any:
            moved = move(tensor, *args, **options)
            if moved.is_cuda and not tensor.is_cuda and tensor.nbytes >= LEAST:
                self._repeat(moved, tensor)
            return moved

        torch.Tensor.to = slow_move  # type: ignore[assignment, method-assign]
        try:
            yield
        finally:
            torch.Tensor.to = move  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
