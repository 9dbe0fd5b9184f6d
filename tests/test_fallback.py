"""Memory that ran out in a run: what is tried next, what is told, and what is kept."""

from __future__ import annotations

import threading
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import cogmagic
from cogmagic import (
    Cancelled,
    DeviceError,
    Machine,
    OutOfMemoryError,
    OutputError,
    Plan,
    Progress,
    Request,
    TierError,
)
from cogmagic._machine.failures import run_releasing_tensors as freeing_frames
from cogmagic._models.find import find_model
from cogmagic._pipeline.cancel import checking
from cogmagic._pipeline.load import load
from cogmagic._planning.options import Placing
from cogmagic._planning.planner import plan
from cogmagic._session.diagnosis import Shortage
from cogmagic._session.fallback import cheaper, ran_out
from cogmagic._session.first_plan import first_plan
from cogmagic._session.prepare import Prepared
from cogmagic._session.session import Session
from cogmagic._tiers.place import placed
from cogmagic._units import GIB

PROMPT = "a red circle moves right"
QUICK: dict[str, Any] = {"seed": 3, "num_frames": 9, "num_inference_steps": 2}
VRAM = Shortage("device", "VRAM ran out")
HOST = Shortage("host", "host memory ran out")
ANYHOW = Placing()


def job(placing: Placing = ANYHOW) -> Prepared:
    request = Request.of(PROMPT, find_model("5b"))
    return Prepared(request, placing, None, None, None)  # type: ignore[arg-type]


def chain(machine: Machine, cause: Shortage, placing: Placing = ANYHOW) -> list[Plan]:
    """The plans that are tried when each runs out."""
    wish = job(placing)
    found = [plan(wish.request, machine, vram_limit=placing.vram_limit)]
    while (following := cheaper(wish, found[-1], cause, machine)) is not None:
        found.append(following)
    return found


def test_each_plan_needs_less_vram_than_the_one_before() -> None:
    plans = chain(Machine.of("RTX 4090", ram=64), VRAM)
    peaks = [p.peak_vram or 0 for p in plans]
    assert len(plans) >= 3
    assert all(after < before for before, after in pairwise(peaks))
    least = min(c.peak_vram or 0 for c in plans[0].candidates)
    assert peaks[-1] <= least


def test_each_plan_needs_less_ram_than_the_one_before() -> None:
    plans = chain(Machine.of("RTX 4090", ram=64), HOST)
    peaks = [p.peak_ram or 0 for p in plans]
    assert len(plans) >= 2
    assert all(after < before for before, after in pairwise(peaks))


def test_a_named_tier_that_would_end_the_kernel_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    wish, swap = job(Placing(tier="stream")), SimpleNamespace(free=0)
    monkeypatch.setattr("psutil.swap_memory", lambda: swap)
    with pytest.raises(TierError) as error:
        first_plan(wish, Machine.of("RTX 4090", ram=12), lambda _: False)
    assert "Tier 'stream' needs 21.09 GiB" in str(error.value)
    assert str(error.value).endswith("the kernel would be killed. Use --tier model.")
    swap.free = 16 * GIB
    assert first_plan(wish, Machine.of("RTX 4090", ram=12), lambda _: False).tier == "stream"
    swap.free = 0  # VRAM that runs out is an error, and may be tried
    wish = job(Placing(tier="none"))
    assert first_plan(wish, Machine.of("RTX 3060", ram=64), lambda _: False).tier == "none"


def test_what_others_have_taken_meanwhile_is_not_planned_with() -> None:
    machine = Machine.of("RTX 4090", ram=64)
    first = plan(job().request, machine)
    gpu = replace(machine.gpus[0], free=8 * GIB)
    following = cheaper(job(), first, VRAM, replace(machine, gpus=(gpu,)))
    assert following is not None
    assert following.fits
    assert (following.peak_vram or 0) < 8 * GIB


@pytest.mark.parametrize(
    ("placing", "cause"),
    [
        (Placing(tier="none"), VRAM),
        (Placing(policy="rule"), VRAM),
        (Placing(), Shortage("attention", "56.50 GiB were asked for at once")),
    ],
)
def test_who_asked_for_a_tier_gets_no_other(placing: Placing, cause: Shortage) -> None:
    assert len(chain(Machine.of("RTX 4090", ram=64), cause, placing)) == 1


def test_a_limit_holds_for_every_plan() -> None:
    plans = chain(Machine.of("A100 80GB", ram=64), VRAM, Placing(vram_limit=10 * GIB))
    assert all((p.peak_vram or 0) <= 10 * GIB for p in plans)
    assert len(plans) > 1


def test_the_error_at_the_end_names_what_was_tried() -> None:
    plans = chain(Machine.of("RTX 3060", ram=64), VRAM)
    said = str(ran_out([(p, VRAM) for p in plans]))
    assert said.startswith("5b at 720x480 with 49 frames ran out of memory in tier ")
    assert said.count("VRAM ran out") == len(plans)
    assert "It would need less with " in said


def test_the_next_plan_makes_the_same_video(toy: Path, cwd: Path, session: Session) -> None:
    plain = cogmagic.generate(PROMPT, model=str(toy), **QUICK)
    notes: list[str] = []
    failed: list[str] = []

    def fail_once(progress: Progress) -> None:
        notes.append(progress.note)
        if progress.phase == "denoise" and progress.done == 1 and not failed:
            failed.append("denoise")
            raise MemoryError

    video = cogmagic.generate(PROMPT, model=str(toy), on_progress=fail_once, **QUICK)
    assert video.report.tier == "staged"
    assert video.report.frames_sha256 == plain.report.frames_sha256
    assert "in none host memory ran out" in video.facts_line()
    assert "t2v, staged after none ran out of memory" in notes
    assert video.report.seconds["failed"] > 0


def test_a_disk_that_refuses_costs_no_video(
    toy: Path, cwd: Path, session: Session, shell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "hardlink_to", refuse)
        patch.setattr(Path, "replace", refuse)
        with pytest.raises(OutputError, match=r"No space left.*%cogvideo save PATH"):
            cogmagic.generate(PROMPT, model=str(toy), save="a.mp4", **QUICK)
    assert list(cwd.iterdir()) == []
    assert cogmagic.unsaved().unsaved
    saved = shell.run_line_magic("cogvideo", "save there.mp4")
    assert saved.path == cwd / "there.mp4"
    assert len(saved.frames()) == 9
    with pytest.raises(OutputError, match="is there already"):
        shell.run_line_magic("cogvideo", "save there.mp4")
    with pytest.raises(cogmagic.RequestError, match="Where to"):
        shell.run_line_magic("cogvideo", "save")


def test_without_an_unsaved_video_that_is_said(session: Session) -> None:
    session.unsaved = None
    with pytest.raises(OutputError, match="no unsaved video"):
        cogmagic.unsaved()


@pytest.mark.parametrize("phase", ["load", "encode", "denoise", "decode", "save"])
def test_a_run_in_a_thread_is_cancelled_in_any_phase(
    toy: Path, cwd: Path, session: Session, phase: str
) -> None:
    reached, go_on = threading.Event(), threading.Event()
    ended: list[BaseException] = []

    def hold(progress: Progress) -> None:
        if progress.phase == phase:
            reached.set()
            go_on.wait(60)

    def work() -> None:
        try:
            cogmagic.generate(PROMPT, model=str(toy), on_progress=hold, **QUICK)
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    reached.wait(60)
    assert cogmagic.cancel() == "Stopping."
    go_on.set()
    thread.join(60)
    if phase == "save":  # nothing comes after it that could be spared
        assert ended == []
        return
    assert isinstance(ended[0], Cancelled)
    assert list(cwd.iterdir()) == []
    assert cogmagic.cancel() == "Nothing is running."
    assert cogmagic.generate(PROMPT, model=str(toy), **QUICK).path.is_file()


def test_a_gpu_that_has_failed_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nCompile with")

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", broken)
    monkeypatch.setattr(torch.cuda, "empty_cache", broken)
    monkeypatch.setattr(torch._C, "_cuda_clearCublasWorkspaces", broken, raising=False)
    with pytest.raises(DeviceError, match=r"illegal memory access was encountered\), and this"):
        freeing_frames(broken)


def test_an_error_on_a_sound_gpu_stays_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong() -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch._C, "_cuda_clearCublasWorkspaces", lambda: None, raising=False)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        freeing_frames(wrong)


def test_memory_that_ran_out_outside_the_run_is_explained() -> None:
    def short() -> None:
        raise MemoryError

    with pytest.raises(OutOfMemoryError, match="Memory ran out"):
        freeing_frames(short)


@pytest.mark.parametrize("tier", ["none", "stream", "staged"])
def test_a_load_is_cancelled_between_two_tensors(
    toy: Path, cwd: Path, session: Session, tier: str
) -> None:
    def cancel(progress: Progress) -> None:
        if progress.phase == "load":
            session.cancel()

    with pytest.raises(Cancelled):
        cogmagic.generate(PROMPT, model=str(toy), tier=tier, on_progress=cancel, **QUICK)
    assert session.loaded is None  # it was not read to its end
    assert cogmagic.generate(PROMPT, model=str(toy), tier=tier, **QUICK).path.is_file()


def test_who_checks_between_tensors_is_asked_until_it_raises(toy: Path) -> None:
    asked = 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked == 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), checking(check):
        load(toy, "t2v", "float32")
    assert asked == 100
    pipe = load(toy, "t2v", "float32")
    before = [p.data_ptr() for p in pipe.transformer.parameters()]
    asked = 0
    cpu = torch.device("cpu")
    with pytest.raises(KeyboardInterrupt), placed(pipe, "none", cpu, check=check):
        pass
    assert asked == 100
    assert [p.data_ptr() for p in pipe.transformer.parameters()] == before
