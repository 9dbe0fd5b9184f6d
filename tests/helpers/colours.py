"""Clips of colour patches, and the pixels in the middle of each patch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cogmagic import Report, Video
from cogmagic._video.formats.mp4 import MP4

COLOURS = np.array(
    [
        *[(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)],
        *[(0, 0, 0), (128, 128, 128), (255, 255, 0), (0, 255, 255)],
        *[(255, 0, 255), (64, 64, 64), (192, 192, 192), (255, 224, 189)],  # and five skin tones
        *[(234, 192, 134), (198, 134, 66), (141, 85, 36), (74, 44, 42)],
    ],
    np.uint8,
)
TOLERANCE = 12
"""The greatest difference of a channel, of 255. Chromium's own, without a GPU, is 12 in blue."""
SIZES = [(96, 96), (720, 480), (768, 1360), (1360, 768)]
"""Widths and heights on both sides of the 720 rows from which players guess another matrix."""


def patches(width: int, height: int, count: int = 3) -> np.ndarray[Any, Any]:
    """A clip of `COLOURS` in four rows of four patches: uint8, count × height × width × 3."""
    row, column = np.arange(height) * 4 // height, np.arange(width) * 4 // width
    return np.repeat(COLOURS[row[:, None] * 4 + column][None], count, axis=0)


def centres(picture: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The pixels in the middle of the 16 patches: 16 × channels, in the order of `COLOURS`."""
    height, width = picture.shape[:2]
    row, column = ((2 * np.arange(4) + 1) * side // 8 for side in (height, width))
    return picture[np.ix_(row, column)].reshape(16, -1)


def clip_of(path: Path, frames: np.ndarray[Any, Any]) -> Video:
    """A video of these frames at `path`."""
    MP4.write(path, frames, 8, {"prompt": "patches"})
    count, height, width, _ = frames.shape
    return Video(
        path=path, prompt="patches", model="tiny", width=width, height=height, num_frames=count,
        fps=8, seed=3, report=Report(tier="none", reason="no GPU", device="cpu", dtype="float32"),
    )  # fmt: skip
