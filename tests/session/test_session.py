"""The kernel's session: phases, failures, one run at a time."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

import cogmagic
from cogmagic import BusyError, Cancelled, OutOfMemoryError, OutputError, Progress
from cogmagic._session.session import Session
from tests.helpers.toy import PROMPT, QUICK


def test_phases_are_reported_in_order_and_timed(toy: Path, cwd: Path, session: Session) -> None:
    told: list[Progress] = []
    video = cogmagic.generate(PROMPT, model=str(toy), on_progress=told.append, **QUICK)
    phases = list(dict.fromkeys(p.phase for p in told))
    assert phases == ["load", "encode", "denoise", "decode", "save"]
    assert list(video.report.seconds) == phases
    assert [(p.done, p.total) for p in told if p.phase == "denoise"] == [(0, 2), (1, 2), (2, 2)]
    decoded = [p for p in told if p.phase == "decode"]
    assert decoded[-1].done == decoded[-1].total  # the count of tiles was right
    assert video.report.peak_vram is None
    assert video.path.is_file()


def live_tensors() -> int:
    """Bytes of all distinct tensors that are alive."""
    gc.collect()
    alive = [o for o in gc.get_objects() if issubclass(type(o), torch.Tensor)]
    alive = [t for t in alive if type(t).__name__ != "FakeTensor"]  # left by compiling: no memory
    return sum({t.data_ptr(): t.numel() * t.element_size() for t in alive}.values())


@pytest.mark.slow
@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError, torch.OutOfMemoryError])
@pytest.mark.parametrize(
    ("tier", "phase"),
    [
        *(("none", phase) for phase in ("load", "encode", "denoise", "decode", "save")),
        ("model", "denoise"),
        ("sequential", "denoise"),
    ],
)
def test_nothing_is_left_after_a_failure_in_any_phase(
    toy: Path, cwd: Path, session: Session, phase: str, stop: Any, tier: str
) -> None:
    before = live_tensors()

    def fail(progress: Progress) -> None:
        if progress.phase == phase and progress.done == bool(progress.total):
            raise stop("injected")

    expected = {KeyboardInterrupt: Cancelled, torch.OutOfMemoryError: OutOfMemoryError}
    with pytest.raises(expected.get(stop, stop)) as error:
        cogmagic.generate(PROMPT, model=str(toy), tier=tier, on_progress=fail, **QUICK)
    assert error.value.__context__ is None  # it would keep the first error's tensors
    if stop is RuntimeError:
        assert "in fail" in error.value.__notes__[0]  # where it happened can still be read
    assert list(cwd.iterdir()) == []
    session.release()
    assert live_tensors() <= before + 1000, "the failure holds tensors"
    again = cogmagic.generate(PROMPT, model=str(toy), tier=tier, **QUICK)
    assert again.path.is_file()


@pytest.mark.parametrize(
    "shortage",
    [
        MemoryError(),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
        RuntimeError("MPS backend out of memory"),
    ],
)
def test_every_kind_of_out_of_memory_is_a_one_line_error(
    toy: Path, cwd: Path, session: Session, shortage: Exception
) -> None:
    def fail(progress: Progress) -> None:
        if progress.phase == "encode":
            raise shortage

    with pytest.raises(OutOfMemoryError, match="ran out of memory with no offload") as error:
        cogmagic.generate(PROMPT, model=str(toy), on_progress=fail, **QUICK)
    assert "\n" not in str(error.value)


def test_second_run_is_refused_while_one_is_running(toy: Path, cwd: Path, session: Session) -> None:
    running, finish = threading.Event(), threading.Event()

    def hold(progress: Progress) -> None:
        running.set()
        finish.wait(300)

    first = threading.Thread(
        target=lambda: cogmagic.generate(PROMPT, model=str(toy), on_progress=hold, **QUICK)
    )
    first.start()
    try:
        assert running.wait(300)
        with pytest.raises(BusyError, match="a red circle"):
            cogmagic.generate(PROMPT, model=str(toy))
        with pytest.raises(BusyError):
            cogmagic.release()
    finally:
        finish.set()
        first.join(600)
    assert len(list(cwd.glob("*.mp4"))) == 1


def test_unwritable_folder_is_refused_before_loading(
    toy: Path, cwd: Path, session: Session
) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        cogmagic.generate(PROMPT, model=str(toy), save="nowhere/a.mp4")
    assert session.loaded is None
