"""A ``%%cogvideo`` cell in JupyterLab in Chromium: the video plays under it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cogmagic._html import VOLATILE
from tests.helpers.lab import RUN_ALL, SAVE
from tests.helpers.notebooks import read


def test_video_plays_in_jupyterlab(
    lab: Any, opened: Callable[[list[str]], Path], toy: Path
) -> None:
    errors: list[str] = []
    lab.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    lab.on("pageerror", lambda e: errors.append(str(e)))
    make = f"%%cogvideo --model '{toy}' --frames 9 --steps 2 --seed 7 --fps 4 --out clip"
    link = make.replace("--out clip", "--save 'clip #1?, 100% \"a\" & b.mp4'")
    path = opened(
        [
            "%load_ext cogmagic",
            f"{make}\na red circle moves to the right",
            "clip",
            "%config CogMagic.embed_limit_mb = 0\nimport os; os.mkdir('a b'); os.chdir('a b')",
            f"{link}\na red circle moves to the right",
        ]
    )
    lab.evaluate(RUN_ALL)
    lab.wait_for_function(
        "() => { const v = document.querySelectorAll('video.cogmagic-video');"
        " return v.length === 3 && [...v].every(x => x.readyState === 4 && x.currentTime > 0) }"
    )
    for video in lab.query_selector_all("video.cogmagic-video"):
        facts = video.evaluate("v => [v.videoWidth, v.videoHeight, v.duration, v.error]")
        assert facts == [96, 96, pytest.approx(9 / 4), None]
        assert video.get_attribute("aria-label") == "9 frames of 96×96 at 4 fps"
        assert video.is_visible()
    # One line of facts per cell, in place of the live line.
    lines = [e.inner_text() for e in lab.query_selector_all(f".{VOLATILE}")]
    assert len(lines) == 3
    assert all(line.startswith("tier none (") and " · seed 7 · c" in line for line in lines)

    lab.evaluate(SAVE)
    stored = read(path)
    live, player = stored.cells[1].outputs
    assert lines[0] in live.data["text/plain"]  # the last update is stored, not the first
    assert "data:video/mp4;base64," in player.data["text/html"]
    assert "data:video" not in stored.cells[4].outputs[1].data["text/html"]  # linked
    assert not [c for c in errors if "cogmagic" in c or "cogvideo" in c or "video" in c]
