"""What a kernel learns of its GPU: a probe before the first run, and what each run took."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from cogmagic._machine.machine import Machine
from cogmagic._machine.memory import empty_cache, use_expandable_segments
from cogmagic._machine.torch_check import checked_by_torch
from cogmagic._planning.candidates import PREDICTIONS
from cogmagic._planning.plan import Plan
from cogmagic._tiers.needs import allocatable
from cogmagic._units import GIB
from cogmagic._video.report import Report

__all__ = ["learn", "look", "ready"]


_probed: set[str] = set()
"""The GPUs that this kernel has measured."""


def ready(machine: Machine, gpus: Sequence[str]) -> Machine:
    """Set torch's allocator up, and measure a GPU on the first run of each of the first kernels.

    Args:
        machine: as detected.
        gpus: the GPUs that were named, if any.
    """
    if machine.device != "cuda":
        return machine
    import torch

    from cogmagic._machine.history import History
    from cogmagic._machine.probe import probe
    from cogmagic._machine.rates import PROBES, disturbed, store_probe

    use_expandable_segments()
    gpu = machine.roomiest
    if gpu is None:
        return machine
    name, known = gpu.uuid or gpu.name, machine.rates.probes if machine.rates else 0
    if known >= PROBES or (known and name in _probed):
        return machine
    if gpu.available is not None and gpu.available < GIB:
        return machine
    try:
        with torch.random.fork_rng([gpu.index]):  # the kernel's random numbers are not ours to draw
            rates = probe(torch.device("cuda", gpu.index))
    except RuntimeError:  # another process took the memory meanwhile: the run itself will tell
        empty_cache()
        return machine
    empty_cache()
    if disturbed(rates, machine.rates):  # a GPU that others keep busy is probed again next time
        return machine
    _probed.add(name)
    store_probe(gpu, rates, History().path.parent, machine.software)
    found = checked_by_torch(Machine.detect(gpus=gpus))
    if found.rates is None or not found.rates.probes:  # a cache folder that cannot be written
        return replace(found, rates=rates)
    return found


def learn(machine: Machine, chosen: Plan, report: Report | None) -> None:
    """Keep what a run on a GPU took, for the next prediction; no report is one that ran out.

    Of that it is known only that what there was did not do, and it teaches something only where the
    plan had said that it would.
    """
    gpu, candidate, r = machine.roomiest, chosen.chosen, chosen.request
    if machine.device != "cuda" or gpu is None or candidate is None:
        return
    if report is None and (candidate.missing_vram or chosen.tier == "balanced"):
        return
    from cogmagic._machine.history import History, PastRun

    traced = candidate.traced
    limit = round(allocatable(gpu.room or 0) * 1.01)  # it took more
    History().add(
        PastRun(
            when=time.time(),
            card=gpu.name,
            driver=machine.driver,
            rates=machine.rates.source if machine.rates else "",
            versions=f"{PREDICTIONS}, {machine.versions}",
            model=r.model.name,
            size=r.size,
            num_frames=r.num_frames,
            dtype=chosen.dtype,
            tier=chosen.tier,
            predicted_allocated=traced.peak_allocated,
            measured_allocated=report.own_peak if report else None,
            predicted_step=traced.step_seconds,
            measured_step=report.step_seconds if report else None,
            out_of_memory=report is None,
            limit=limit or None,
        )
    )


def look(gpus: Sequence[str] = ()) -> Machine:
    """This machine now, as this torch can use it, with those GPUs or all."""
    return ready(checked_by_torch(Machine.detect(gpus=gpus)), gpus)
