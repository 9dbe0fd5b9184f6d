"""Frames, and a video of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cogmagic import Report, Video
from cogmagic._video.formats.mp4 import MP4

REPORT = Report(tier="none", reason="no GPU", device="cpu", dtype="float32")


@pytest.fixture
def frames() -> np.ndarray:
    """Nine frames of a moving edge, 64×96."""
    clip = np.zeros((9, 64, 96, 3), np.uint8)
    for n, frame in enumerate(clip):
        frame[:, 8 * n :] = (255, 40, 10)
    return clip


@pytest.fixture
def video(frames: np.ndarray, cwd: Path) -> Video:
    path = cwd / "edge.mp4"
    MP4.write(path, frames, 8, {"prompt": "an <b>edge</b>", "seed": 3})
    return Video(
        path=path, prompt="an <b>edge</b>", model="tiny", width=96, height=64, num_frames=9,
        fps=8, seed=3, report=REPORT,
    )  # fmt: skip
