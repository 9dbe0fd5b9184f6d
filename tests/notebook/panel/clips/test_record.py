"""What the notebook keeps of a panel: an ordinary output beside the widget."""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from IPython.utils.capture import capture_output

from cogmagic import Report, Video
from cogmagic._html import MARK
from cogmagic._notebook.panel.clips.record import Record
from cogmagic._notebook.panel.widget import close_panel, the_panel
from cogmagic._session.session import Session
from cogmagic._video.formats.registry import FORMATS

REPORT = Report(tier="none", reason="no GPU", device="cpu", dtype="float32")


@pytest.fixture
def video(cwd: Path) -> Video:
    frames = np.zeros((3, 64, 96, 3), np.uint8)
    for name, kind in (("a.mp4", ".mp4"), ("a.gif", ".gif"), ("a", ".png")):
        FORMATS[kind].write(cwd / name, frames, 8, {})
    return Video(
        path=cwd / "a.mp4", prompt="an <b>edge</b>", model="tiny", width=96, height=64,
        num_frames=3, fps=8, seed=3, report=REPORT,
    )  # fmt: skip


def test_record_has_the_last_three_videos_in_html_a_picture_and_text(video: Video) -> None:
    record = Record(10**6)
    for seed in range(4):
        record.add(replace(video, seed=seed))
    bundle = record.bundle()
    assert [f"seed {seed}" in bundle["text/html"] for seed in range(4)] == [False, *[True] * 3]
    assert bundle["text/html"].count("<video controls") == 3
    assert b64encode(video.path.read_bytes()).decode() in bundle["text/html"]
    assert "<b>" not in bundle["text/html"]
    assert b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    lines = bundle["text/plain"].splitlines()
    assert [line.startswith(f"{MARK}Video('a.mp4'") for line in lines] == [True] * 3


def test_videos_above_the_limit_folders_and_missing_files_are_pictures_or_text(
    video: Video, cwd: Path
) -> None:
    size = video.path.stat().st_size
    record = Record(2 * size - 1)
    for one in (video, video):
        record.add(one)
    html = record.bundle()["text/html"]
    assert html.count("<video") == html.count("<img") == 1
    record = Record(10**6)
    record.add(replace(video, path=cwd / "a.gif", format="gif"))
    record.add(replace(video, path=cwd / "a", format="png"))
    html = record.bundle()["text/html"]
    assert html.count('src="data:image/gif') == html.count('src="data:image/png') == 1
    gone = Record(10**6)
    gone.add(replace(video, path=cwd / "gone.mp4"))
    assert "image/png" not in gone.bundle()
    assert "gone.mp4" in gone.bundle()["text/html"]


def test_panel_is_displayed_with_its_record_which_results_update(
    shell: Any, video: Video, session: Session
) -> None:
    shell.run("%config CogMagic.embed_limit_mb = 2")
    with capture_output() as shown:
        shell.run("%cogvideo panel")
    widget, record = (output.data for output in shown.outputs)
    assert "application/vnd.jupyter.widget-view+json" in widget
    assert "Run this cell to open it" in widget["text/html"]
    assert "stay in a saved notebook" in record["text/plain"]
    with capture_output() as later:
        the_panel().results.add(video, {})
    (update,) = later.outputs
    assert "<video" in update.data["text/html"]
    assert update.data == the_panel().results.record.bundle()
    assert the_panel().results.record._limit == 2_000_000
    close_panel()
