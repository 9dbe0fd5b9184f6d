"""GPU calibration: a probe before the first run, and the record of each run for predictions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from cogmagic._machine.allocator import empty_cache, use_expandable_segments
from cogmagic._machine.machine import Machine
from cogmagic._machine.torch_check import checked_by_torch
from cogmagic._planning.experience import PREDICTIONS
from cogmagic._planning.plan import Plan
from cogmagic._tiers.needs import allocatable
from cogmagic._units import GIB
from cogmagic._video.report import Report

__all__ = ["calibrated", "detect", "record_reading", "record_run"]


_probed: set[str] = set()
"""The GPUs that this kernel has probed, by UUID."""


def calibrated(machine: Machine, gpus: Sequence[str]) -> Machine:
    """The machine with its GPU probed, on the first run of each of the first kernels.

    Also sets torch's allocator up.

    Args:
        machine: as detected.
        gpus: indices or UUIDs of the GPUs that may be used; empty for all.
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
    name, count = gpu.uuid or gpu.name, machine.rates.probes if machine.rates else 0
    if count >= PROBES or (count and name in _probed):
        return machine
    if gpu.available is not None and gpu.available < GIB:
        return machine
    try:
        with torch.random.fork_rng([gpu.index]):  # the kernel's random numbers stay as they are
            rates = probe(torch.device("cuda", gpu.index))
    except RuntimeError:  # another process took the memory; the run itself will fail or not
        empty_cache()
        return machine
    empty_cache()
    if disturbed(rates, machine.rates):  # others keep the GPU busy: it is probed again next time
        return machine
    _probed.add(name)
    store_probe(gpu, rates, History().path.parent, machine.software)
    probed = checked_by_torch(Machine.detect(gpus=gpus))
    if probed.rates is None or not probed.rates.probes:  # the cache folder is not writable
        return replace(probed, rates=rates)
    return probed


def record_run(machine: Machine, plan: Plan, report: Report | None) -> None:
    """Record what a run on a GPU took, for later predictions; without a report, it ran out of VRAM.

    Running out only proves that more than the available VRAM was needed, so it is recorded only if
    the plan was predicted to fit.
    """
    gpu, candidate, r = machine.roomiest, plan.chosen, plan.request
    rates = machine.rates_in(plan.dtype)
    if machine.device != "cuda" or gpu is None or candidate is None:
        return
    if report is None and (candidate.missing_vram or plan.placement.several_gpus):
        return
    from cogmagic._machine.history import History, PastRun

    traced = candidate.traced
    limit = round(allocatable(gpu.room or 0) * 1.01)  # it took more
    History().add(
        PastRun(
            when=time.time(),
            card=gpu.name,
            driver=machine.driver,
            rates=rates.source if rates else "",
            versions=f"{PREDICTIONS}, {machine.versions}",
            model=r.model.name,
            size=r.size,
            num_frames=r.num_frames,
            dtype=plan.dtype,
            tier=plan.tier,
            predicted_allocated=traced.peak_allocated,
            measured_allocated=report.own_peak if report else None,
            predicted_step=traced.step_seconds,
            measured_step=report.step_seconds if report else None,
            out_of_memory=report is None,
            limit=limit or None,
            uses=plan.resolved.text,
            measured_compile=report.seconds.get("compile") if report else None,
        )
    )


def record_reading(machine: Machine, plan: Plan, report: Report) -> None:
    """Record at what pace a run read its weight files, for later predictions."""
    from cogmagic._machine.file_paces import store_file_pace

    rates, folder = machine.rates_in(plan.dtype), machine.cache_folder
    if plan.chosen is None or rates is None or folder is None:
        return
    pace = plan.chosen.needs.loading.measured(report.seconds.get("load", 0.0), rates)
    if pace is not None:
        store_file_pace(*pace, folder)


def detect(gpus: Sequence[str] = ()) -> Machine:
    """This machine now, as this torch can use it, with those GPUs or all."""
    return calibrated(checked_by_torch(Machine.detect(gpus=gpus)), gpus)
