"""The panel's player."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cogmagic
from cogmagic._notebook.panel.clips.player import player
from cogmagic._notebook.panel.widget import Panel
from tests.helpers.toy import PROMPT


def test_large_video_is_embedded_and_huge_one_is_named(panel: Panel, toy: Path, cwd: Path) -> None:
    video = cogmagic.generate(PROMPT, model=str(toy), num_inference_steps=1)
    assert 'src="data:video/mp4' in player(replace(video, embed_limit=0))
    assert "too large" in player(video, limit=10)
    assert video.path.name in player(video, limit=10)
    video.path.unlink()
    assert "no longer exists" in player(video)
