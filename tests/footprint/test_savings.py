"""Options that need less memory give the same frames and are reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cogmagic
from cogmagic._planning import resolved
from cogmagic._session import attempts
from cogmagic._session.session import Session
from cogmagic._video.formats.mp4 import MP4
from tests.helpers.toy import run

TIERS = ("none", "model", "stream", "staged", "sequential")


@pytest.fixture
def frames(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The frames of each video that is written."""
    clips: list[Any] = []
    write = MP4.write

    def keep(part: Any, clip: Any, *rest: Any) -> None:
        clips.append(clip.astype(np.int16))
        write(part, clip, *rest)

    monkeypatch.setattr(MP4, "write", keep)
    return clips


@pytest.mark.slow
@pytest.mark.parametrize("saving", ["lean_decode", "guidance_halves", "fp8", "fp8_products"])
def test_each_saving_gives_equal_frames_in_every_tier(
    toy: Path,
    cwd: Path,
    session: Session,
    frames: list[Any],
    saving: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    title = "fp8 products" if saving == "fp8_products" else ""
    monkeypatch.setattr(resolved, "has_fp8_products", lambda _: bool(title))
    option = "fp8" if title else saving
    run(toy)
    for tier in TIERS:
        video = run(toy, tier=tier, **{option: True})
        assert video.report.storage == title
        assert (f"--fp8 · {title} ·" in video.facts_line()) == bool(title)
    plain, *others = frames
    assert all((clip == others[0]).all() for clip in others)
    off = np.abs(plain - others[0]).max()
    assert off == 0 if saving == "lean_decode" else off <= (2 if option != "fp8" else 255)


def test_savings_are_reported_and_recorded(
    toy: Path, cwd: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: list[Any] = []
    monkeypatch.setattr(attempts, "record_run", lambda *given: recorded.append(given[2]))
    assert run(toy).report.options == ()
    video = run(toy, fp8=True, guidance_halves=True)
    assert video.report.options == ("guidance_halves", "fp8")
    assert "--guidance-halves · --fp8" in video.facts_line()
    assert [report.options for report in recorded] == [(), ("guidance_halves", "fp8")]

    def run_out(progress: cogmagic.Progress) -> None:
        if progress.phase == "decode":
            raise RuntimeError("CUDA out of memory")

    with pytest.raises(cogmagic.OutOfMemoryError):
        run(toy, lean_decode=True, on_progress=run_out)
    assert recorded[2:] == [None]  # a run that ended out of memory has no report
