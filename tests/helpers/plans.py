"""Requests, machines and past runs for plans."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from cogmagic import Gpu, Machine, Request
from cogmagic._machine.history import PastRun
from cogmagic._models.catalog import catalogued
from cogmagic._models.find import find_model
from cogmagic._planning import planner
from cogmagic._planning.memory_options import DEFAULTS, Available, MemoryOptions
from cogmagic._planning.plan import Plan
from cogmagic._session.prepare import Job
from cogmagic._units import GIB
from tests.helpers.toy import PROMPT


def job(options: MemoryOptions = DEFAULTS) -> Job:
    request = Request.of(PROMPT, find_model("5b"))
    return Job(request, options, None, None, None)  # type: ignore[arg-type]


def plan(
    request: Request,
    machine: Machine,
    *,
    folder: Path | None = None,
    download: int = 0,
    prompts_cached: bool = False,
    weights_loaded: bool = False,
    **options: Any,
) -> Plan:
    """The planner's plan, with the fields of `MemoryOptions` and `Available` as keywords."""
    available = Available(folder, download, prompts_cached, weights_loaded)
    return planner.plan(request, machine, MemoryOptions(**options), available)


def machine(*free: float) -> Machine:
    gpus = tuple(
        Gpu(i, f"GPU{i}", total=int(80 * GIB), free=int(f * GIB)) for i, f in enumerate(free)
    )
    return Machine(gpus, device="cuda" if gpus else "cpu")


def five(**options: Any) -> Request:
    model = catalogued("5b")
    assert model is not None
    return Request.of("any", model, **options)


def ran(before: Any, slower: float, **changes: Any) -> PastRun:
    """A run of the plan's tier that took so many times what was predicted."""
    needs = before.chosen.traced
    row = PastRun(
        when=0.0, card="RTX 4090", versions="", model="5b", size="720x480", num_frames=49,
        dtype="bfloat16", tier=before.tier, predicted_allocated=needs.peak_allocated,
        measured_allocated=needs.peak_allocated, predicted_step=needs.step_seconds,
        measured_step=needs.step_seconds * slower,
    )  # fmt: skip
    return replace(row, **changes)
