"""The next plan after memory ran out."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

import cogmagic
from cogmagic import Machine, Plan, Progress
from cogmagic._planning.memory_options import MemoryOptions
from cogmagic._session import attempts, pipeline_slot
from cogmagic._session.diagnosis import Shortage
from cogmagic._session.fallback import cheaper, ran_out
from cogmagic._session.first_plan import planned
from cogmagic._session.prepare import Job
from cogmagic._session.session import Session
from cogmagic._units import GIB
from tests.helpers.plans import DEFAULTS, five, job, plan
from tests.helpers.toy import PROMPT, QUICK, inputs_for

VRAM = Shortage("device", "VRAM ran out")

HOST = Shortage("host", "host memory ran out")


def chain(machine: Machine, cause: Shortage, options: MemoryOptions = DEFAULTS) -> list[Plan]:
    """The plans that are tried when each runs out."""
    task = job(options)
    plans = [plan(task.request, machine, vram_limit=options.vram_limit)]
    while (following := cheaper(task, plans[-1], cause, machine)) is not None:
        plans.append(following)
    return plans


def test_each_fallback_needs_less_vram() -> None:
    plans = chain(Machine.of("RTX 4090", ram=64), VRAM)
    peaks = [p.peak_vram or 0 for p in plans]
    assert len(plans) >= 3
    assert all(after < before for before, after in pairwise(peaks))
    least = min(c.peak_vram or 0 for c in plans[0].candidates)
    assert peaks[-1] <= least


def test_each_fallback_needs_less_ram() -> None:
    plans = chain(Machine.of("RTX 4090", ram=64), HOST)
    peaks = [p.peak_ram or 0 for p in plans]
    assert len(plans) >= 2
    assert all(after < before for before, after in pairwise(peaks))


def test_the_next_plan_fits_the_vram_that_others_left() -> None:
    machine = Machine.of("RTX 4090", ram=64)
    first = plan(job().request, machine)
    gpu = replace(machine.gpus[0], free=8 * GIB)
    following = cheaper(job(), first, VRAM, replace(machine, gpus=(gpu,)))
    assert following is not None
    assert following.fits
    assert (following.peak_vram or 0) < 8 * GIB


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        (MemoryOptions(tier="none"), VRAM),
        (MemoryOptions(policy="rule"), VRAM),
        (MemoryOptions(), Shortage("attention", "56.50 GiB were requested at once")),
    ],
)
def test_a_requested_tier_is_not_replaced(options: MemoryOptions, cause: Shortage) -> None:
    assert len(chain(Machine.of("RTX 4090", ram=64), cause, options)) == 1


def test_every_plan_keeps_to_the_vram_limit() -> None:
    plans = chain(Machine.of("A100 80GB", ram=64), VRAM, MemoryOptions(vram_limit=10 * GIB))
    assert all((p.peak_vram or 0) <= 10 * GIB for p in plans)
    assert len(plans) > 1


def test_out_of_memory_error_names_every_attempt() -> None:
    plans = chain(Machine.of("RTX 3060", ram=64), VRAM)
    text = str(ran_out([(p, VRAM) for p in plans]))
    assert text.startswith("5b at 720x480 with 49 frames ran out of memory with streaming (")
    assert text.count("VRAM ran out") == len(plans)
    assert "It would need less with " in text


@pytest.mark.parametrize(
    ("kind", "phase"), [("t2v", "denoise"), ("inp", "encode video"), ("void", "denoise")]
)
def test_fallback_makes_the_same_video(
    toy_of: dict[str, Path], cwd: Path, session: Session, kind: str, phase: str
) -> None:
    options = {"model": str(toy_of[kind]), **QUICK, "size": "48x32", **inputs_for(toy_of[kind])}
    plain = cogmagic.generate(PROMPT, **options)
    notes: list[str] = []
    failed: list[str] = []

    def fail_once(progress: Progress) -> None:
        notes.append(progress.note)
        if progress.phase == phase and progress.done == 1 and not failed:
            failed.append(phase)
            raise MemoryError

    video = cogmagic.generate(PROMPT, on_progress=fail_once, **options)
    assert video.report.tier == "staged"
    assert video.report.frames_sha256 == plain.report.frames_sha256
    assert "with no offload host memory ran out" in video.facts_line()
    assert f"{kind}, staged loading after no offload ran out of memory" in notes
    assert video.report.seconds["failed"] > 0


@pytest.mark.parametrize("card", ["RTX 3060", "RTX 4090", "V100 16GB"])
def test_compiled_runs_end_with_the_plans_that_were_tried(card: str) -> None:
    options = MemoryOptions(compile=True)
    first = plan(five(dtype="float16"), Machine.of(card, ram=64), compile=True)
    plans = [first]
    task = replace(job(options), request=first.request)
    while (following := cheaper(task, plans[-1], VRAM, Machine.of(card, ram=64))) is not None:
        plans.append(following)
    assert all(p.placement.compiles for p in plans)
    assert str(ran_out([(p, VRAM) for p in plans])).count("VRAM ran out") == len(plans)


@pytest.mark.parametrize("card", ["RTX 3060", "RTX 4090"])
@pytest.mark.parametrize("savings", [{}, {"fp8": True}, {"lean_decode": True}])
def test_loaded_weights_are_not_read_again_in_the_seconds_of_the_next_plan(
    card: str, savings: dict[str, bool]
) -> None:
    task, machine = job(MemoryOptions.of(**savings)), Machine.of(card, ram=64)
    assert machine.rates is not None
    first = plan(task.request, machine, savings=task.options.savings)
    read, here = (cheaper(task, first, VRAM, machine, loaded=loaded) for loaded in (False, True))
    assert read is not None
    assert here is not None
    before = {c.tier: c for c in read.candidates}
    for c in here.candidates:
        reading = before[c.tier].needs.loading.seconds(machine.rates)
        saved = reading - c.needs.loading.seconds(machine.rates)
        # Staged loading reads its files always, but not in a kernel's first run.
        assert saved > 10 if c.placement.weights == "host" else 0 < saved < 5
        assert c.seconds == pytest.approx((before[c.tier].seconds or 0) - saved)
    assert "not read again" in str(here)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "failure", "loaded"),
    [
        ({}, torch.OutOfMemoryError, True),
        ({"keep": "cold"}, torch.OutOfMemoryError, True),
        ({"fp8": True}, torch.OutOfMemoryError, True),
        ({"dtype": "bfloat16"}, torch.OutOfMemoryError, True),
        ({"tier": "stream"}, torch.OutOfMemoryError, True),  # as copies
        ({"tier": "staged"}, torch.OutOfMemoryError, False),  # its weights stay in the files
        ({}, MemoryError, False),  # dropped, to free host memory
    ],
)
def test_next_plan_knows_whether_the_weights_are_loaded(
    toy: Path,
    cwd: Path,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    failure: type[Exception],
    loaded: bool,
) -> None:
    """In real runs that fail once; the test chooses the next tier only because it has no GPU."""
    counted: list[bool] = []
    pipes: list[Any] = []

    def next_plan(task: Job, failed: Plan, cause: Shortage, now: Machine, *, loaded: bool) -> Plan:
        counted.append(loaded)
        return planned(task, now, replace(task.options, tier="sequential"), loaded=loaded)

    def fail_once(progress: Progress) -> None:
        if progress.phase == "denoise" and progress.done == 1:
            pipes.append(session.loaded and session.loaded.pipe)
            if len(pipes) == 1:
                raise failure("CUDA out of memory")

    monkeypatch.setattr(attempts, "cheaper", next_plan)
    # Too little to keep weights between runs, which says nothing about the next attempt.
    monkeypatch.setattr(pipeline_slot, "host_ram", lambda: cogmagic.Ram(8 * GIB, GIB))
    video = cogmagic.generate(PROMPT, model=str(toy), on_progress=fail_once, **QUICK, **options)
    assert video.report.tier == "sequential"
    assert counted == [loaded]
    assert (pipes[0] is pipes[1]) == loaded  # and they were not
    assert session.loaded is None
    assert "not kept" in video.report.kept


@pytest.mark.parametrize(
    "machine",
    [Machine.of("GB10"), Machine(ram=cogmagic.Ram(64 * GIB, 50 * GIB), device="mps")],
    ids=["GB10", "MPS"],
)
def test_fallback_where_gpu_and_cpu_share_memory(machine: Machine) -> None:
    peaks = [p.peak_vram or 0 for p in chain(machine, VRAM)]
    assert len(peaks) >= 2
    assert all(after < before for before, after in pairwise(peaks))
    assert [p.tier for p in chain(machine, HOST)] == ["none", "staged"]
