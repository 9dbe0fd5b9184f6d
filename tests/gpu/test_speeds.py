"""On a real NVIDIA GPU: what holds for `exact` holds for the other speeds, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import cogmagic
from cogmagic import Cancelled, Progress
from cogmagic._session.session import Session
from cogmagic._units import MIB
from tests.helpers.toy import PROMPT

FASTER = ["fast", "faster"]
TIERS = ["none", "model", "stream", "staged", "sequential"]


def made(toy: Path, **options: Any) -> cogmagic.Video:
    return cogmagic.generate(PROMPT, model=str(toy), seed=1, num_inference_steps=2, **options)


@pytest.mark.parametrize("speed", FASTER)
@pytest.mark.parametrize("tier", TIERS)
def test_gpu_is_empty_after_a_run(
    toy: Path, cwd: Path, session: Session, tier: str, speed: str
) -> None:
    made(toy, tier=tier)
    before = torch.cuda.memory_allocated()
    video = made(toy, tier=tier, speed=speed)
    assert torch.cuda.memory_allocated() - before < MIB
    assert any(speed in option for option in video.report.options)


@pytest.mark.parametrize("speed", FASTER)
@pytest.mark.parametrize("phase", ["denoise", "decode"])
@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_gpu_is_empty_after_a_failed_run(
    toy: Path, cwd: Path, session: Session, speed: str, phase: str, stop: Any
) -> None:
    torch.zeros(1, device="cuda")
    before = torch.cuda.memory_allocated()

    def fail(progress: Progress) -> None:
        if progress.phase == phase and progress.done == bool(progress.total):
            raise stop("injected")

    with pytest.raises(Cancelled if stop is KeyboardInterrupt else stop):
        made(toy, tier="stream", speed=speed, on_progress=fail)
    assert torch.cuda.memory_allocated() - before < MIB


@pytest.mark.parametrize("speed", FASTER)
def test_run_that_is_out_of_memory_goes_on_in_another_tier(
    toy: Path, cwd: Path, session: Session, speed: str
) -> None:
    failed: list[Progress] = []

    def run_out(progress: Progress) -> None:
        if progress.phase == "denoise" and progress.done and not failed:
            failed.append(progress)
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    video = made(toy, speed=speed, on_progress=run_out)
    assert failed
    assert video.report.tier != "none"
    assert any(speed in option for option in video.report.options)


@pytest.mark.parametrize("speed", FASTER)
def test_exact_frames_are_the_same_again_after_another_speed(
    toy: Path, cwd: Path, session: Session, speed: str
) -> None:
    for tier in ("none", "stream"):
        first, _, again = (
            made(toy, tier=tier, speed=s).report.frames_sha256 for s in ("exact", speed, "exact")
        )
        assert first == again
