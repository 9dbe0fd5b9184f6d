"""The cost of the panel's meter for a run on a GPU, and a check of the figures that it draws.

    python docs/benchmarks/meter.py --model /scratch/5b --tiers none,stream --steps 17
    python docs/benchmarks/meter.py [--described]        # the time of a reading alone

Within one run the sampler reads during every second step: the ratio of the medians is its cost,
give or take one standard error.
Its figures are compared with those of ``nvidia-smi`` at three moments, and the predicted need (the
orange line) with the measured peak (the red mark). A JSON row per tier.

Without a model, readings are taken as the panel takes them, twice a second for a minute, in a
process with torch: the time of the clock and of the processor, the machine's load, and the time of
each part, repeated without a pause. `--described` reads the tests' NVML of two GPUs that do not
exist, so that what a driver takes is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from math import hypot
from pathlib import Path
from statistics import median, stdev
from typing import Any

import cogmagic
from cogmagic._machine.machine import Machine
from cogmagic._machine.nvml import vitals
from cogmagic._machine.ram import host_ram
from cogmagic._notebook.panel.machine.bars import bars
from cogmagic._notebook.panel.machine.readings import Reader, Reading, Sampler
from cogmagic._notebook.panel.runs.peaks import Peaks
from cogmagic._session.session import session
from cogmagic._units import GIB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model")
    parser.add_argument("--described", action="store_true")
    parser.add_argument("--tiers", default="none,stream", help="separated by commas")
    parser.add_argument("--speed", default="exact")
    parser.add_argument("--steps", type=int, default=17, help="of each run; odd")
    parser.add_argument("--out", type=Path, help="where the rows go as well")
    args = parser.parse_args()
    if args.model is None:
        write(alone(described=args.described), args.out)
        return
    for tier in args.tiers.split(","):
        row = measured(args.model, args.speed, tier, args.steps)
        about = {"model": Path(args.model).name, "tier": tier, "speed": args.speed}
        write(about | row, args.out)
        cogmagic.release()


def write(row: dict[str, Any], out: Path | None) -> None:
    """Print a row, and append it to the file, if any."""
    line = json.dumps(row) + "\n"
    sys.stdout.write(line)
    if out:
        with out.open("a") as file:
            file.write(line)


def alone(*, described: bool) -> dict[str, Any]:
    """Readings of a minute without a run."""
    import torch

    if described:
        describe()
    read = Timed()
    sampler = Sampler(read, lambda _: None)
    sampler.activate(True)
    time.sleep(60)
    sampler.close()
    gpus = [gpu.name for gpu in Machine.detect_hardware().gpus]
    return {
        "alone": "described" if described else (gpus or "no GPU"),
        "load": round(os.getloadavg()[0], 1),
        "reads": len(read.seconds),
        "read_ms": round(1000 * median(read.seconds), 3),
        "cpu_ms": round(1000 * median(read.cpu), 3),
        "parts_ms": asked(),
        "torch": torch.__version__,
    }


def describe() -> None:
    """Read two GPUs that do not exist in place of this machine's."""
    from cogmagic._machine import hardware, nvml
    from cogmagic._machine.torch_build import TorchBuild

    sys.path.insert(0, str(Path(__file__).parents[2]))
    from tests.helpers.nvml import UUIDS, FakeNvml

    fake = FakeNvml()
    # As the fixtures `nvml` and `cuda_build` of the tests do.
    vars(nvml).update(_nvml=lambda: fake, _driver_uuids=lambda *_: tuple(UUIDS))
    vars(hardware).update(torch_build=lambda: TorchBuild("2.13.0", cuda="13.0"))


def measured(model: str, speed: str, tier: str, steps: int) -> dict[str, Any]:
    """One run: what the sampler costs, and its figures beside others'."""
    read = Timed()
    sampler = Sampler(read, lambda _: None)
    off: list[float] = []
    on: list[float] = []
    last = [0.0]
    checks = [beside("at rest")]
    parts: dict[str, float] = {}
    peaks = Peaks()

    def follow(progress: cogmagic.Progress) -> None:
        peaks.update()
        if progress.phase != "denoise" or not progress.done:
            return
        import torch

        torch.cuda.synchronize()  # a step's end is its end on the GPU as well
        now = time.perf_counter()
        if progress.done > 1:  # the first warms up
            (on if progress.done % 2 else off).append(now - last[0])
        if progress.done == progress.total:
            sampler.close()
            checks.append(beside("denoised"))
            parts.update(asked())
        sampler.activate(progress.done % 2 == 0)
        last[0] = time.perf_counter()

    plan = cogmagic.plan(model=model, speed=speed, tier=tier)
    video = cogmagic.generate(
        "a red circle", model=model, speed=speed, tier=tier, num_inference_steps=steps,
        on_progress=follow, save=Path(tempfile.mkdtemp()),
    )  # fmt: skip
    sampler.close()
    checks.append(beside("kept"))
    followed = peaks.bytes.get(0, 0)
    peaks.include(video.report.peak_reserved)
    bar = bars(Reader()(), plan, peaks.bytes)
    return {
        "step_off": round(median(off), 4),
        "step_on": round(median(on), 4),
        "slower": round(median(on) / median(off) - 1, 5),
        "give_or_take": round(hypot(*(stdev(x) / len(x) ** 0.5 / median(x) for x in (on, off))), 5),
        "parts_ms": parts,
        "reads": len(read.seconds),
        "read_ms": round(1000 * median(read.seconds), 3),
        "core": round(sum(read.cpu) / sum(on), 5),
        "ghost_gib": round((bar["bars"][0]["need"] or 0) / GIB, 2),
        "followed_gib": round(followed / GIB, 2),
        "mark_gib": round((bar["bars"][0]["peak"] or 0) / GIB, 2),
        "beside": checks,
        "device": video.report.device,
        "versions": dict(video.report.versions),
    }


class Timed:
    """A reading as the panel takes and draws it, timed in its thread."""

    def __init__(self) -> None:
        self._read = Reader()
        self.seconds: list[float] = []
        self.cpu: list[float] = []

    def __call__(self) -> Reading:
        began, cpu = time.perf_counter(), time.thread_time()
        reading = self._read()
        bars(reading, None, {})
        self.seconds.append(time.perf_counter() - began)
        self.cpu.append(time.thread_time() - cpu)
        return reading


def asked() -> dict[str, float]:
    """Milliseconds that each thing of a reading takes."""
    gpus = Machine.detect_hardware().gpus
    found = {}
    for name, ask in {
        "machine": Machine.detect_hardware,
        "ram": host_ram,
        "vitals": lambda: [vitals(gpu) for gpu in gpus],
        "weights": session().slot.weights_on_gpus,
    }.items():
        began = time.perf_counter()
        for _ in range(20):
            ask()
        found[name] = round((time.perf_counter() - began) / 20 * 1000, 3)
    return found


def beside(when: str) -> dict[str, Any]:
    """The bar's parts and ``nvidia-smi``'s figures, GiB, and how far they are apart."""
    gpu = Reader()().gpus[0]
    queried = smi("--query-gpu=memory.total,memory.free", "-i", str(gpu.uuid))[0]
    total, free = (float(v) / 1024 for v in queried)
    own = [float(r[1]) / 1024 for r in smi("--query-compute-apps=pid,used_memory")
           if r[0] == str(os.getpid())]  # fmt: skip
    ours = {"total": gpu.total or 0, "free": gpu.free or 0, "reserved": gpu.reserved or 0}
    row: dict[str, Any] = {"when": when} | {k: round(v / GIB, 3) for k, v in ours.items()}
    row |= {"smi_total": round(total, 3), "smi_free": round(free, 3), "smi_process": own}
    row["off"] = round(max(abs(row["total"] - total), abs(row["free"] - free)) / total, 5)
    return row


def smi(*args: str) -> list[list[str]]:
    command = ["nvidia-smi", *args, "--format=csv,noheader,nounits"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    return [[v.strip() for v in line.split(",")] for line in done.stdout.splitlines() if line]


if __name__ == "__main__":
    main()
