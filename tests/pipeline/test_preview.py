"""Previews while a video forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cogmagic
from cogmagic._pipeline import preview as _preview
from cogmagic._session.session import Session


@pytest.mark.slow
@pytest.mark.parametrize("tier", ["none", "model", "stream", "staged", "sequential"])
def test_previews_are_shown_in_every_tier_and_change_no_frame(
    toy: Path, cwd: Path, session: Session, tier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_preview, "_TIME_SHARE", 1.0)
    seen: list[Any] = []
    options: dict[str, Any] = {"model": str(toy), "tier": tier, "seed": 3, "num_inference_steps": 3}
    plain = cogmagic.generate("a red circle", **options)
    shown = cogmagic.generate("a red circle", on_preview=seen.append, **options)
    assert shown.report.frames_sha256 == plain.report.frames_sha256
    assert len(seen) == 3
    frames, height, width, colours = seen[0].shape
    assert (height * 8, width * 8, colours) == (shown.height, shown.width, 3)
    assert frames == (shown.num_frames - 1) // 4 + 1
    assert seen[0].dtype == np.uint8


@pytest.mark.slow
def test_last_preview_resembles_the_video(cwd: Path, session: Session) -> None:
    """Of a trained model: the embedded one."""
    seen: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_preview, "_TIME_SHARE", 1.0)
        video = cogmagic.generate("a red circle moves to the right", seed=7, on_preview=seen.append)
    small = video.frames()[-1].reshape(12, 8, 12, 8, 3).mean((1, 3))
    guess, noise = seen[-1][-1].astype(float), seen[0][-1].astype(float)
    assert guess.shape == small.shape
    assert np.abs(guess - small).mean() < 30
    assert np.abs(guess - small).mean() < np.abs(noise - small).mean() / 2
    assert np.corrcoef(guess[..., 0].ravel(), small[..., 0].ravel())[0, 1] > 0.8


def test_previews_take_no_more_than_their_share_of_time(
    toy: Path, cwd: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_preview, "_TIME_SHARE", 0.0)
    seen: list[Any] = []
    cogmagic.generate("a red circle", model=str(toy), num_inference_steps=9, on_preview=seen.append)
    assert len(seen) == 1  # what it takes is known from the first


@pytest.mark.parametrize("where", ["_fitted", "_colours"])
def test_failing_preview_does_not_end_the_run(
    toy: Path, cwd: Path, session: Session, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no memory for it")

    monkeypatch.setattr(_preview, where, fail)
    notes: list[str] = []
    video = cogmagic.generate(
        "a red circle", model=str(toy), num_inference_steps=2, on_preview=lambda _: None,
        on_progress=lambda p: notes.append(p.note),
    )  # fmt: skip
    assert video.path.is_file()
    assert ("without a preview: no memory for it" in notes) == (where == "_fitted")
