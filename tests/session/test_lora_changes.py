"""Adapters that change or vanish between and during runs, and runs that end while they change."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import cogmagic
from cogmagic import CheckpointError, Progress
from cogmagic._pipeline import adapters as adapters_module
from cogmagic._pipeline.load import load
from cogmagic._pipeline.spec import PipelineSpec
from cogmagic._session.session import Session
from tests.helpers.lora_files import LINEARS, write_lora
from tests.helpers.plans import job
from tests.helpers.toy import PROMPT, QUICK


@pytest.fixture
def write(toy: Path, cwd: Path) -> Callable[..., Path]:
    """Writes the adapter ``red.safetensors`` for the toy checkpoint."""
    transformer = load(PipelineSpec(toy, "t2v", "float32")).transformer

    def write(seed: int = 0, **options: Any) -> Path:
        return write_lora(cwd / "red.safetensors", transformer, seed=seed, **options)

    return write


def request_of(toy: Path, *loras: Any, **options: Any) -> cogmagic.Request:
    return cogmagic.Request.of(PROMPT, str(toy), lora=list(loras), **QUICK, **options)


def made(toy: Path, *loras: Any, **options: Any) -> str:
    options = QUICK | {"model": str(toy), "lora": list(loras), "overwrite": True} | options
    return cogmagic.generate(PROMPT, **options).report.frames_sha256


def tensors() -> int:
    gc.collect()
    return sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects())


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"keep": "hot"}, {"tier": "staged"}, {"tier": "stream"}])
def test_a_file_that_was_written_again_is_read_again(
    toy: Path, write: Callable[..., Path], session: Session, options: dict[str, Any]
) -> None:
    first = made(toy, write(), **options)
    second = made(toy, write(seed=1), **options)
    assert len({first, second, made(toy, **options)}) == 3
    assert made(toy, write(), **options) == first


def test_a_request_reads_a_changed_file_again(
    toy: Path, write: Callable[..., Path], session: Session
) -> None:
    request = request_of(toy, write())
    write(rank=2, kinds=LINEARS)
    video = cogmagic.generate(request)
    assert video.report.adapters == ("LoRA red.safetensors@1 (rank 2, scale 1)",)
    assert video.report.frames_sha256 == made(toy, "red.safetensors")


def test_a_deleted_file_is_refused_and_leaves_the_model_as_it_was(
    toy: Path, write: Callable[..., Path], session: Session
) -> None:
    base, request = made(toy), request_of(toy, write())
    made(toy, "red.safetensors")
    Path("red.safetensors").unlink()
    for run in (lambda: cogmagic.generate(request), lambda: made(toy, "red.safetensors")):
        with pytest.raises(CheckpointError, match=r"No LoRA at .*red\.safetensors"):
            run()
    assert made(toy) == base


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tier", "change"), [("none", "written again"), ("staged", "deleted"), ("stream", "deleted")]
)
def test_a_file_that_changes_before_it_is_attached_ends_the_run(
    toy: Path, write: Callable[..., Path], session: Session, tier: str, change: str
) -> None:
    base, file = made(toy, tier=tier), write()
    session.release()
    cogmagic.generate(PROMPT, model=str(toy), tier=tier, keep="cold", **QUICK)
    before = tensors()

    def look(progress: Progress) -> None:
        if progress.phase == "load" and file.exists():
            file.unlink() if change == "deleted" else write(seed=1, rank=2)

    with pytest.raises(
        CheckpointError, match=r"red\.safetensors has changed since .* Run it again"
    ):
        made(toy, file, tier=tier, on_progress=look)
    session.release()
    assert tensors() <= before
    assert made(toy, tier=tier) == base


def test_an_attached_adapter_does_not_follow_its_file(
    toy: Path, write: Callable[..., Path], session: Session
) -> None:
    file = write()
    expected = made(toy, file)

    def look(progress: Progress) -> None:
        if progress.phase == "denoise" and file.stat().st_size:
            file.write_bytes(b"")  # in place: reading a mapped file would end the process

    assert made(toy, file, on_progress=look) == expected


def test_an_interrupt_while_attaching_leaves_the_model_as_it_was(
    toy: Path, write: Callable[..., Path], session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, file, calls = made(toy), write(), []
    original = adapters_module._with_adapters

    def interrupted(kind: type[Any]) -> type[Any]:
        calls.append(kind)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(kind)

    expected = made(toy, file)
    assert made(toy) == base
    monkeypatch.setattr(adapters_module, "_with_adapters", interrupted)
    with pytest.raises((KeyboardInterrupt, cogmagic.Cancelled)):
        made(toy, file)
    assert len(calls) == 3
    assert made(toy) == base
    assert made(toy, file) == expected


def test_the_next_plan_after_memory_ran_out_has_the_adapters(
    toy: Path, write: Callable[..., Path], session: Session
) -> None:
    expected, failed = made(toy, write()), []

    def look(progress: Progress) -> None:
        if progress.phase == "denoise" and not failed:
            failed.append(progress)
            raise MemoryError

    video = cogmagic.generate(
        PROMPT, model=str(toy), lora="red.safetensors", on_progress=look, **QUICK
    )
    assert failed
    assert video.report.tier == "staged"
    assert video.report.frames_sha256 == expected


def test_runs_with_adapters_are_not_learned_as_those_of_the_model(
    toy: Path, write: Callable[..., Path]
) -> None:
    assert job().learned
    assert not replace(job(), request=request_of(toy, write())).learned


@pytest.mark.slow
def test_release_with_an_adapter_leaves_no_tensor(
    toy: Path, write: Callable[..., Path], session: Session
) -> None:
    made(toy, keep="hot")
    session.release()
    before, file = tensors(), write()
    for tier in ("none", "stream"):
        made(toy, file, keep="hot", tier=tier)
        assert tensors() > before
        session.release()
        assert tensors() <= before
