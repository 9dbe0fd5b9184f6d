"""A pipeline that stays placed between runs: when it stays, and all that takes it off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import cogmagic
from cogmagic import Machine, Progress
from cogmagic import _run as run_module
from cogmagic._gpu import GIB
from cogmagic._hot import Hot
from cogmagic._session import Session

PROMPT = "a red circle moves right"
QUICK: dict[str, Any] = {"seed": 3, "num_frames": 9, "num_inference_steps": 2}


@pytest.fixture
def placings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tiers in which a pipeline was placed anew, and "off" where it was taken off."""
    told: list[str] = []
    original = run_module.placed

    class Watched:
        def __init__(self, pipe: Any, tier: str, device: Any, **how: Any) -> None:
            self.tier, self.context = tier, original(pipe, tier, device, **how)  # type: ignore[arg-type]

        def __enter__(self) -> None:
            told.append(self.tier)
            self.context.__enter__()

        def __exit__(self, *error: Any) -> bool | None:
            told.append("off")
            return self.context.__exit__(*error)

    monkeypatch.setattr(run_module, "placed", Watched)
    return told


def make(toy: Path, **options: Any) -> str:
    video = cogmagic.generate(PROMPT, model=str(toy), **{"keep": "hot"} | QUICK | options)
    return video.report.frames_sha256


def test_the_same_again_is_not_placed_again(
    toy: Path, cwd: Path, session: Session, placings: list[str]
) -> None:
    make(toy)
    placings.clear()
    first = make(toy)  # the prompt is known now, so the text encoder is not placed
    assert placings == ["off", "none"]
    assert make(toy) == first
    assert make(toy, num_frames=17) != first
    assert placings == ["off", "none"]
    cogmagic.release()
    assert placings == ["off", "none", "off"]


def test_anything_else_takes_it_off_first(
    toy: Path, cwd: Path, session: Session, placings: list[str]
) -> None:
    make(toy)
    make(toy)
    for change in ({"tier": "model"}, {"fp8": True}, {"keep": "warm"}):
        make(toy)
        placings.clear()
        make(toy, **change)
        assert placings[0] == "off" or change == {"keep": "warm"}
        assert placings[-1] == ("off" if change != {"fp8": True} else "none")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError, MemoryError])
def test_an_error_takes_it_off(
    toy: Path, cwd: Path, session: Session, placings: list[str], stop: type
) -> None:
    def fail(progress: Progress) -> None:
        if progress.phase == "denoise" and progress.done:
            raise stop

    make(toy)
    make(toy)
    with pytest.raises((cogmagic.Cancelled, ValueError, cogmagic.OutOfMemoryError)):
        make(toy, on_progress=fail)
    assert placings[-1] == "off"
    assert session.hot.key is None
    make(toy)


def test_tiers_that_bring_weights_in_turn_keep_nothing_there(
    toy: Path, cwd: Path, session: Session, placings: list[str]
) -> None:
    for tier in ("model", "stream", "staged", "sequential"):
        make(toy, tier=tier)
        assert placings[-2:] == [tier, "off"]


def test_what_stays_counts_as_free() -> None:
    hot = Hot()
    gpu = replace(
        Machine.of("RTX 4090").gpus[0], free=2 * GIB, reserved=21 * GIB, allocated=20 * GIB
    )
    machine = replace(Machine.of("RTX 4090"), gpus=(gpu,))
    assert hot.without(machine) == machine
    hot._nbytes = {0: 19 * GIB}
    assert hot.without(machine).gpus[0].available == 22 * GIB
