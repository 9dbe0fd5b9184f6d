"""A pipeline that stays placed between runs: when it stays, and all that takes it off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import cogmagic
from cogmagic import Machine, Progress
from cogmagic._api.status import Status
from cogmagic._session import run as run_module
from cogmagic._session.hot import Hot
from cogmagic._session.session import Session
from cogmagic._tiers.base import Placement, Tier
from cogmagic._units import GIB
from tests.helpers.toy import PROMPT, QUICK


@pytest.fixture
def placings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tiers in which a pipeline was placed again, and "off" where it was taken off."""
    told: list[str] = []
    original = run_module.placed

    class Watched:
        def __init__(self, pipe: Any, tier: Tier, placement: Placement) -> None:
            self.tier, self.context = tier.name, original(pipe, tier, placement)

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


@pytest.mark.slow
def test_hot_pipeline_is_not_placed_again_for_a_similar_run(
    toy: Path, cwd: Path, session: Session, placings: list[str]
) -> None:
    first = make(toy)
    assert make(toy) == first  # the prompt is known now, and its encoder stays all the same
    assert make(toy, num_frames=17) != first
    assert make(toy, negative_prompt="a blue square", guidance_scale=4) != first
    assert make(toy, lean_decode=True) == first
    halves = make(toy, guidance_halves=True)
    assert placings == ["none"]
    cogmagic.release()
    assert placings == ["none", "off"]
    assert make(toy, guidance_halves=True) == halves
    make(toy, negative_prompt="a red square", guidance_scale=4)  # needs the encoder after all
    assert placings == ["none", "off", "none", "off", "none"]


@pytest.mark.slow
def test_hot_pipeline_is_replaced_for_another_placement(
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
def test_error_removes_the_hot_pipeline(
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
    assert session.slot.hot.key is None
    make(toy)


@pytest.mark.parametrize("phase", ["load", "save"])
def test_interrupt_before_or_after_the_run_removes_the_hot_pipeline(
    toy: Path, cwd: Path, session: Session, placings: list[str], phase: str
) -> None:
    def stop(progress: Progress) -> None:
        if progress.phase == phase:
            raise KeyboardInterrupt

    make(toy)
    with pytest.raises(cogmagic.Cancelled, match="memory has been freed"):
        make(toy, on_progress=stop)
    assert placings == ["none", "off"]
    assert session.slot.hot.key is None
    assert session.loaded is not None


def test_write_error_removes_the_hot_pipeline(
    toy: Path, cwd: Path, session: Session, placings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> None:
        raise cogmagic.OutputError("The disk is full.")

    make(toy)
    with pytest.raises(cogmagic.OutputError, match="does not exist"):
        make(toy, save="nowhere/a.mp4")
    assert placings == ["none", "off"]
    make(toy)
    placings.clear()
    monkeypatch.setattr("cogmagic._video.output_file.OutputFile.commit", refused)
    with pytest.raises(cogmagic.OutputError, match="kept in memory"):
        make(toy)
    assert placings == ["off"]


def test_low_ram_removes_the_hot_pipeline(
    toy: Path, cwd: Path, session: Session, placings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "cogmagic._session.pipeline_slot.host_ram", lambda: cogmagic.Ram(8 * GIB, GIB)
    )
    make(toy)
    assert placings == ["none", "off"]
    assert session.loaded is None


def test_unloading_the_extension_removes_the_hot_pipeline(
    toy: Path, shell: Any, placings: list[str]
) -> None:
    shell.run("%config CogMagic.keep = 'hot'")
    for _ in range(2):
        shell.run_cell_magic("cogvideo", f"--model {toy} --num-frames 9 --steps 1 --seed 1", PROMPT)
    assert placings == ["none"]
    shell.run("%unload_ext cogmagic")
    assert placings == ["none", "off"]
    shell.run("%load_ext cogmagic")


@pytest.mark.slow
def test_offloading_tiers_keep_nothing_on_the_gpu(
    toy: Path, cwd: Path, session: Session, placings: list[str]
) -> None:
    for tier in ("model", "stream", "staged", "sequential"):
        make(toy, tier=tier)
        assert placings[-2:] == [tier, "off"]


def test_hot_weights_count_as_free_vram() -> None:
    hot = Hot()
    gpu = replace(
        Machine.of("RTX 4090").gpus[0], free=2 * GIB, reserved=21 * GIB, allocated=20 * GIB
    )
    machine = replace(Machine.of("RTX 4090"), gpus=(gpu,))
    assert hot.without(machine) == machine
    hot.nbytes = {0: 19 * GIB}
    assert hot.without(machine).gpus[0].available == 22 * GIB


@pytest.mark.parametrize("mine", [0, 1])
def test_gpu_with_hot_weights_is_preferred_unless_another_has_much_more_vram(
    mine: int,
) -> None:
    machine, hot = Machine.of("2x RTX 4090"), Hot()
    hot.nbytes = {mine: 19 * GIB}

    def roomiest(free: int) -> int | None:
        gpus = [replace(g, free=23 * GIB, reserved=0, allocated=0) for g in machine.gpus]
        gpus[mine] = replace(
            gpus[mine], free=free, reserved=20 * GIB, allocated=20 * GIB
        )  # 19 of them weights
        seen = hot.without(replace(machine, gpus=tuple(gpus)))
        assert seen.gpus[mine].available == free + 19 * GIB
        return seen.roomiest.index if seen.roomiest else None

    assert roomiest(4 * GIB) == mine
    assert roomiest(round(3.3 * GIB)) == mine
    assert roomiest(GIB) == 1 - mine


def test_status_and_release_report_hot_weights(
    toy: Path, cwd: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held(**where: int) -> str:
        status = Status(Machine(), "5b (bfloat16)", **where)
        return dict(status.rows())["loaded"]

    assert held(loaded_bytes=20 * GIB) == "5b (bfloat16), 20.00 GiB in RAM"
    both = "5b (bfloat16), 20.00 GiB in RAM and 19.00 GiB on the GPU"
    assert held(loaded_bytes=20 * GIB, hot_bytes=19 * GIB) == both
    assert held(hot_bytes=19 * GIB) == "5b (bfloat16), 19.00 GiB on the GPU"  # `balanced`
    assert held() == "5b (bfloat16), without its weights"  # `staged`

    make(toy)
    monkeypatch.setattr(session.slot, "weights_on_gpus", lambda: {0: 19 * GIB})
    assert str(cogmagic.status()).endswith("in RAM and 19.00 GiB on the GPU")
    assert "of RAM and 19.00 GiB of VRAM." in cogmagic.release()
    assert cogmagic.status().loaded is None
