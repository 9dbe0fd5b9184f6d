"""Many runs in one process, in random order, ended in every way: nothing may be left behind.

    python docs/benchmarks/soak.py --runs 60                      # the embedded model
    python docs/benchmarks/soak.py --models /scratch/a,/scratch/b --runs 60 --steps 2
    python docs/benchmarks/soak.py --models /scratch/a --runs 30 --speeds exact,fast,faster

Each run has a model, a tier, a speed, a size and none to two LoRA adapters, and ends whole, by an
exception or memory that runs out in one of its phases, by an interrupt at a random moment, or by a
fault in one of the steps that place the pipeline. After each, what is left is counted: tensors,
threads and open files; on a GPU, what torch has allocated and what the process holds. After each
tenth, `release`, and the host memory too. A JSON row of each; the script fails where something has
been left.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from lora import ATTENTION, LINEARS, written

import cogmagic
from cogmagic._machine.nvml import gpu_processes
from cogmagic._models.find import embedded_folder, find_model
from cogmagic._pipeline import adapters as _adapters
from cogmagic._tiers import host_copy as _host_copy
from cogmagic._tiers import pinned_weights as _host
from cogmagic._tiers import residency as _residency
from cogmagic._tiers import staged as _staged
from cogmagic._tiers import stream as _stream
from cogmagic._tiers.model import ModelOffload
from cogmagic._tiers.sequential import SequentialOffload
from cogmagic._tiers.staged import Staged
from cogmagic._tiers.stream import Stream

MIB = 2**20
TIERS = ("none", "model", "stream", "staged", "sequential")
PHASES = ("load", "encode", "encode video", "denoise", "decode", "save")
_COPY, _RESIDENCY = _host_copy.HostCopy, _residency.Residency
PLACES: dict[str, list[tuple[Any, str]]] = {
    "none": [(_COPY, "onload"), (_COPY, "restore")],
    "model": [(ModelOffload, "place"), (_COPY, "restore")],
    "sequential": [(SequentialOffload, "place"), (_COPY, "restore")],
    "stream": [
        (Stream, "place"), (_stream, "stream_indices"), (_host, "_moved"), (_RESIDENCY, "add"),
        (_host.PinnedWeights, "lock"), (_COPY, "onload"), (_COPY, "restore"),
    ],
    "staged": [(Staged, "place"), (_staged, "_fill"), (_RESIDENCY, "add"), (_COPY, "restore")],
}  # fmt: skip
"""Per tier, the steps that place a pipeline, where they are looked up."""
SIZES = ((96, 96, 9), (96, 96, 17), (64, 96, 9), (96, 64, 17))


class InjectedError(Exception):
    """What is raised on purpose."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--models", default="tiny", help="folders, separated by commas")
    parser.add_argument("--sizes", default="", help="WIDTHxHEIGHTxFRAMES, separated by commas")
    parser.add_argument("--speeds", default="exact", help="separated by commas")
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of the order")
    parser.add_argument("--out", type=Path, help="where the rows go as well")
    args = parser.parse_args()
    os.environ.setdefault("COGMAGIC_CACHE", tempfile.mkdtemp())  # out-of-memory is not to be learnt
    signal.signal(signal.SIGINT, signal.default_int_handler)
    soak = Soak(args)
    for i in range(args.runs):
        soak.run(i)
    soak.end()


class Soak:
    """Runs, and compares what is left after each with what was there before all."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.chance = args, random.Random(args.seed)
        self.speed_chance = random.Random(args.seed)  # the rest is drawn as with one speed
        sizes = [tuple(map(int, s.split("x"))) for s in args.sizes.split(",") if s]
        self.sizes = sizes or list(SIZES)
        self.folder = Path(tempfile.mkdtemp())
        self.adapters = {m: adapters_for(m) for m in args.models.split(",")}
        self.wrong: list[str] = []
        self.kinds: dict[str, int] = {}
        self.released: list[int] = []
        for tier in TIERS:  # libraries are imported, and make what they keep for good
            self._generate(args.models.split(",")[0], tier, self.sizes[0])
        for speed in args.speeds.split(","):  # the compiler starts processes, too
            self._generate(args.models.split(",")[0], "none", self.sizes[0], speed=speed)
        began = time.monotonic()
        self._generate(args.models.split(",")[0], "none", self.sizes[0])
        self.typical = time.monotonic() - began
        cogmagic.release()
        self.before = left()

    def run(self, i: int) -> None:
        chance = self.chance
        model, tier = chance.choice(self.args.models.split(",")), chance.choice(("auto", *TIERS))
        size = chance.choice(self.sizes)
        end = chance.choice(["whole", "error", "memory", "host memory", "interrupt", "place"])
        loras = chance.choice(self.adapters[model])
        speed = self.speed_chance.choice(self.args.speeds.split(","))
        places = PLACES.get(tier, []) + ([(_adapters, "attach")] if loras else [])
        place = chance.choice(places) if end == "place" and tier in PLACES else None
        if end == "place" and place is None:
            end = "whole"
        where = place[1] if place else chance.choice(PHASES)
        if place:
            cogmagic.release()  # so that every step is taken
        row: dict[str, Any] = {"run": i, "model": Path(model).name, "tier": tier}
        row |= {"size": "x".join(map(str, size)), "end": end, "where": where}
        row |= {"loras": len(loras), "speed": speed}
        began = time.monotonic()
        try:
            with ended(end, where, chance.uniform(0, self.typical), place) as tell:
                self._generate(model, tier, size, tell, loras, speed)
            row["came"] = "video"
        except (cogmagic.CogMagicError, cogmagic.Cancelled, InjectedError) as error:
            row["came"] = f"{type(error).__name__}: {error}"[:160]
        except KeyboardInterrupt:  # pressed after the end
            row["came"] = "video"
        tell = None  # its error's traceback has the run's tensors
        if place and not row["came"].startswith("InjectedError"):
            self.wrong.append(f"run {i}: the fault in {where} came to nothing")
        row |= {"seconds": round(time.monotonic() - began, 2)} | left()
        if i % 10 == 9:
            cogmagic.release()
            row["released"] = left()
            self.released.append(row["released"]["ram"])
            self._compare(row["released"], f"released after run {i}", ("tensors",))
        if row["came"] == "video":  # it has loaded all that its kind of run needs
            self.kinds.setdefault(f"{row['model']} {tier} {speed}", row["process"])
        row["process_grew"] = row["process"] - max(self.kinds.values(), default=row["process"])
        if row["process_grew"] > 64 * MIB:
            self.wrong.append(f"run {i}: the process holds {row['process_grew']} bytes more")
        self._compare(row, f"run {i}", ("threads", "files"))
        if row["allocated"] - self.before["allocated"] > MIB:
            self.wrong.append(f"run {i}: {row['allocated']} bytes are allocated")
        if parts := [p.name for p in self.folder.glob(".*")]:
            self.wrong.append(f"run {i}: left {parts}")
        self._write(row)

    def _compare(self, row: dict[str, Any], when: str, names: tuple[str, ...]) -> None:
        until = time.monotonic() + 60
        for name in names:
            # A thread that has been joined may still be leaving.
            while row[name] > self.before[name] and time.monotonic() < until:
                time.sleep(0.05)
                row[name] = left()[name]
            if row[name] > self.before[name]:
                self.wrong.append(f"{when}: {row[name]} {name}, at first {self.before[name]}")

    def _generate(
        self,
        model: str,
        tier: str,
        size: Any,
        tell: Any = None,
        loras: Any = (),
        speed: str = "exact",
    ) -> None:
        width, height, frames = size
        cogmagic.generate(
            "a red circle moves", model=model, tier=tier, width=width, height=height,
            num_frames=frames, num_inference_steps=self.args.steps, seed=1, save=self.folder,
            on_progress=tell or (lambda _: None), lora=loras, speed=speed,
            **inputs_for(model, size),
        )  # fmt: skip

    def end(self) -> None:
        if len(self.released) > 3:  # what malloc and the libraries keep has settled by then
            early, late = self.released[1], self.released[-1]
            self._write({"ram_early": early, "ram_late": late, "grew": late / early - 1})
            if late > early * 1.03:
                self.wrong.append(f"host memory grew from {early} to {late} bytes")
        self._write({"wrong": self.wrong})
        if self.wrong:
            raise SystemExit("\n".join(self.wrong))

    def _write(self, row: dict[str, Any]) -> None:
        line = json.dumps(row)
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
        if self.args.out:
            with self.args.out.open("a") as file:
                file.write(line + "\n")


def inputs_for(model: str, size: tuple[int, int, int]) -> dict[str, Any]:
    """A clip and the mask of its middle, where the model inpaints; else nothing."""
    if not find_model(model).inpaints:
        return {}
    width, height, frames = size
    clip, mask = np.zeros((frames, height, width, 3), np.uint8), np.zeros((height, width), bool)
    clip[..., : width // 2, :] = 255
    mask[height // 4 : height // 2, width // 4 : width // 2] = True
    return {"video": clip, "mask": mask}


def adapters_for(model: str) -> tuple[list[Path], ...]:
    """None, one and two adapters of a model."""
    folder = embedded_folder() if model == "tiny" else Path(model)
    one, two = written(folder, Path(tempfile.mkdtemp()), ((8, ATTENTION), (4, LINEARS)))
    return [], [one], [one, two]


@contextmanager
def ended(end: str, where: str, seconds: float, place: tuple[Any, str] | None) -> Iterator[Any]:
    """A context in which a run ends in that way; gives what it is to tell its progress to."""
    import torch

    errors: dict[str, BaseException] = {
        "error": InjectedError("on purpose"),
        "memory": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        "host memory": MemoryError(),
    }

    def tell(progress: cogmagic.Progress) -> None:
        if end in errors and progress.phase == where and progress.done == bool(progress.total):
            raise errors[end]

    if place:
        with faulty(*place):
            yield tell
    elif end == "interrupt":
        timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        try:
            yield tell
        finally:
            timer.cancel()
            timer.join()
    else:
        yield tell


@contextmanager
def faulty(owner: Any, name: str) -> Iterator[None]:
    """The first call of a function fails, the others do not."""
    table = owner if isinstance(owner, dict) else vars(owner)
    original, calls = table[name], []

    def fails(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise InjectedError(name)
        return original(*args, **kwargs)

    def put(function: Any) -> None:
        if owner is table:
            table[name] = function
        else:
            setattr(owner, name, function)

    put(fails)
    try:
        yield
    finally:
        put(original)


def left() -> dict[str, int]:
    """What the process holds now."""
    import torch

    gc.collect()
    tensors = sum(issubclass(type(o), torch.Tensor) and not is_fake(o) for o in gc.get_objects())
    process = psutil.Process()
    info = process.memory_info()
    found = {"tensors": tensors, "threads": psutil.Process().num_threads()}
    found |= {"files": process.num_fds(), "ram": int(info.rss - info.shared)}
    found |= {"allocated": 0, "process": 0}
    if torch.cuda.is_initialized():
        found |= {"allocated": torch.cuda.memory_allocated(), "process": ours()}
    return found


def is_fake(tensor: Any) -> bool:
    """Whether a tensor has no values: the compiler keeps such with its code, of each LoRA once."""
    from torch._subclasses.fake_tensor import FakeTensor

    return issubclass(type(tensor), FakeTensor) or tensor.device.type == "meta"


def ours() -> int:
    """VRAM of this process, as NVML tells it; where it does not, of all processes."""
    import torch

    gpu = cogmagic.Machine.detect().gpus[0]
    told = dict(gpu_processes(gpu)).get(os.getpid())
    free, total = torch.cuda.mem_get_info()
    return told or total - free


if __name__ == "__main__":
    main()
