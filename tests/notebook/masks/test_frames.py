"""The frames that the canvas shows of clips of all kinds."""

from __future__ import annotations

from fractions import Fraction
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cogmagic import RequestError
from cogmagic._models.clips.clip import clip_of
from cogmagic._notebook.masks import frames
from cogmagic._notebook.masks.frames import ClipFrames
from tests.helpers.clips import Made, numbered, numbers

PAUSED = [*range(0, 400, 40), *range(1000, 1400, 40)]
"""Milliseconds of 20 frames at 25 per second, with a pause of 0.6 s in the middle."""


def shown(clip: ClipFrames, number: int) -> int:
    """The number that a frame shows on the canvas."""
    return numbers(np.asarray(Image.open(BytesIO(clip.jpeg(number))))[None])[0]


@pytest.mark.parametrize(
    "made",
    [
        Made("a.mp4", "libx264"),
        Made("ten-bit.mp4", "libx264", "yuv420p10le"),
        Made("ntsc.mkv", "libx264", rate=Fraction(30000, 1001)),
        Made("old.avi", "mpeg4"),
        Made("web.webm", "libvpx-vp9"),
        Made("moving.gif", "gif", "rgb8", rate=10),
    ],
    ids=lambda made: made.name,
)
def test_every_frame_is_found_by_its_number(cwd: Path, made: Made) -> None:
    clip = ClipFrames(clip_of(made.at(cwd)))
    assert clip.count == made.count
    assert [shown(clip, n) for n in (39, 0, 17, 18, 8)] == [39, 0, 17, 18, 8]


def test_a_clip_of_varying_rate_has_frames_at_even_times(cwd: Path) -> None:
    path = Made("phone.mp4", "libx264", rate=25, count=20, times=PAUSED).at(cwd)
    clip = ClipFrames(clip_of(path))
    last = Fraction(PAUSED[-1], 1000)
    assert abs(clip.count * clip.interval - last) < 2 * clip.interval
    for number in (0, clip.count // 2, clip.count - 1):
        time = float(number * clip.interval) * 1000
        assert shown(clip, number) == sum(t <= time + 5 for t in PAUSED) - 1


@pytest.mark.parametrize(
    ("size", "zoom", "on_canvas"),
    [((96, 96), 5, (480, 480)), ((720, 480), 1, (720, 480)), ((1920, 1080), 0.5, (960, 540))],
)
def test_sizes_on_the_canvas(
    size: tuple[int, int], zoom: float, on_canvas: tuple[int, int]
) -> None:
    clip = ClipFrames(clip_of(np.broadcast_to(np.uint8(0), (2, size[1], size[0], 3))))
    assert (clip.zoom, clip.shown_size) == (zoom, on_canvas)


def test_few_frames_stay_in_memory(cwd: Path) -> None:
    clip = ClipFrames(clip_of(np.stack([numbered(n) for n in range(100)])))
    for number in range(100):
        assert shown(clip, number) == number
    assert len(clip._kept) <= frames._KEPT


def test_a_clip_of_days_is_refused(monkeypatch: pytest.MonkeyPatch, cwd: Path) -> None:
    monkeypatch.setattr(frames, "_MOST_FRAMES", 39)
    with pytest.raises(RequestError, match=r"has 40 frames, but a mask may have 39\. Cut it: ff"):
        ClipFrames(clip_of(Made("a.mp4", "libx264").at(cwd)))
