"""Cancelling runs and loads."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch

import cogmagic
from cogmagic import Cancelled, Progress
from cogmagic._pipeline.load import load
from cogmagic._pipeline.spec import PipelineSpec
from cogmagic._pipeline.stop_checks import checked_between_operations
from cogmagic._session.session import Session
from tests.helpers.placing import placed
from tests.helpers.toy import PROMPT, QUICK


@pytest.mark.parametrize("phase", ["load", "encode", "denoise", "decode", "save"])
def test_run_in_a_thread_is_cancelled_in_every_phase(
    toy: Path, cwd: Path, session: Session, phase: str
) -> None:
    reached, go_on = threading.Event(), threading.Event()
    ended: list[BaseException] = []

    def pause(progress: Progress) -> None:
        if progress.phase == phase:
            reached.set()
            go_on.wait(600)

    def work() -> None:
        try:
            cogmagic.generate(PROMPT, model=str(toy), on_progress=pause, **QUICK)
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    reached.wait(600)
    assert cogmagic.cancel() == "Stopping."
    go_on.set()
    thread.join(600)
    if phase == "save":  # nothing comes after it that could be spared
        assert ended == []
        return
    assert isinstance(ended[0], Cancelled)
    assert list(cwd.iterdir()) == []
    assert cogmagic.cancel() == "Nothing is running."
    assert cogmagic.generate(PROMPT, model=str(toy), **QUICK).path.is_file()


@pytest.mark.parametrize("tier", ["none", "stream", "staged"])
def test_load_is_cancelled_between_two_tensors(
    toy: Path, cwd: Path, session: Session, tier: str
) -> None:
    def cancel(progress: Progress) -> None:
        if progress.phase == "load":
            session.cancel()

    with pytest.raises(Cancelled):
        cogmagic.generate(PROMPT, model=str(toy), tier=tier, on_progress=cancel, **QUICK)
    assert session.loaded is None  # it was not read to its end
    assert cogmagic.generate(PROMPT, model=str(toy), tier=tier, **QUICK).path.is_file()


def test_check_between_operations_is_not_called_again_once_it_raises(toy: Path) -> None:
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), checked_between_operations(check):
        load(PipelineSpec(toy, "t2v", "float32"))
    assert calls == 100
    pipe = load(PipelineSpec(toy, "t2v", "float32"))
    before = [p.data_ptr() for p in pipe.transformer.parameters()]
    calls = 0
    cpu = torch.device("cpu")
    with pytest.raises(KeyboardInterrupt), placed(pipe, "none", cpu, check=check):
        pass
    assert calls == 100
    assert [p.data_ptr() for p in pipe.transformer.parameters()] == before
