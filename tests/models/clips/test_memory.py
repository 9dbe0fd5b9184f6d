"""Frames in memory: of diffusers, of NumPy and torch, of Pillow; or one line."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cogmagic import RequestError
from cogmagic._models.clips.clip import clip_of
from cogmagic._models.clips.lengths import frames_at

FRAMES = np.random.default_rng(0).integers(0, 256, (5, 16, 24, 3), np.uint8)
FLOATS = (FRAMES / 255).astype(np.float32)
PICTURES = [Image.fromarray(frame) for frame in FRAMES]
FIRST = np.moveaxis(FRAMES, -1, 1)


def error_of(value: Any) -> str:
    with pytest.raises(RequestError) as error:
        clip_of(value)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "value",
    [
        FRAMES,
        FLOATS,
        FLOATS.astype(np.float64),
        FRAMES.astype(np.int64),
        FRAMES.astype(np.uint16) * 257,
        FRAMES.tolist(),
        FIRST,
        FRAMES[None],
        FLOATS[None],
        list(FRAMES),
        tuple(FLOATS),
        [FLOATS],
        PICTURES,
        tuple(PICTURES),
        [PICTURES],
        torch.from_numpy(FRAMES),
        torch.from_numpy(FIRST.copy()),
        torch.from_numpy(FIRST / 255)[None],
        torch.from_numpy(FIRST / 255).half(),
        list(torch.from_numpy(FIRST.copy())),
        [torch.from_numpy(FIRST.copy())],
        SimpleNamespace(frames=[PICTURES]),
        SimpleNamespace(frames=FLOATS[None]),
        [image.convert("RGBA") for image in PICTURES],
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_form_has_the_same_frames(value: Any) -> None:
    clip = clip_of(value)
    assert (clip.size, clip.frames, clip.fps, clip.seconds) == ((24, 16), 5, None, None)
    assert np.array_equal(clip.source, FRAMES)
    assert frames_at(clip, start=0, fps=8, most=49) == 5  # one for one, at any rate
    assert frames_at(clip, start=0.25, fps=8, most=49) == 3


def test_frames_of_uint8_are_neither_copied_nor_all_read() -> None:
    for frames in (FRAMES, FRAMES[::-1, ::2], FIRST, FRAMES[..., :1]):
        assert np.shares_memory(clip_of(frames).source, FRAMES)
    endless = np.broadcast_to(np.uint8(90), (10**9, 1080, 1920, 3))
    assert clip_of(endless).frames == 10**9


def test_grey_and_transparent_frames() -> None:
    grey = clip_of(np.full((3, 8, 8, 1), 90, np.uint8))
    assert (grey.source == 90).all()
    pale = np.zeros((3, 8, 8, 4), np.uint8)
    pale[0, ..., 3] = 255
    source = clip_of(pale).source
    assert (source[0] == 0).all()
    assert (source[1:] == 255).all()


def test_a_clip_that_begins_in_the_dark() -> None:
    """A picture of 0 and 1 in uint8 is in doubt, but not a frame beside brighter ones."""
    frames = FRAMES.copy()
    frames[0] = np.arange(24, dtype=np.uint8)[:, None] % 2
    assert np.array_equal(clip_of(frames).source, frames)
    assert np.array_equal(clip_of(list(frames)).source, frames)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (FRAMES[:1], "The clip has 1 frame: it is a picture, not a clip. For image-to-video"),
        (PICTURES[:1], "The clip has 1 frame"),
        ([], "The clip has no frames"),
        (FRAMES[:0], "no frames or no pixels: its shape is (0, 16, 24, 3)"),
        (FRAMES[:, :0], "no pixels"),
        (FRAMES[0], "For one picture, the first frame of image-to-video: --image"),
        (FRAMES[..., 0], "has shape (5, 16, 24), but a clip is frames × height × width × 3"),
        (FRAMES[..., 0], "If its frames are grey, pass video[..., None]."),
        (np.moveaxis(FRAMES, -1, 0), "Its channels are first: pass np.moveaxis(video, 0, -1)."),
        (np.moveaxis(FRAMES, -1, 0)[None], "first: pass np.moveaxis(video[0], 0, -1)."),
        (torch.zeros(3, 5, 16, 24), "first: pass video.movedim(0, -1)."),
        (np.stack([FRAMES, FRAMES]), "has 2 clips"),
        ([PICTURES, PICTURES], "has 2 clips. Pass one, such as video[0]"),
        ([FRAMES, FRAMES], "has 2 clips"),
        (FRAMES.astype(np.float32), "floats from 0 to 255, but black is 0 and white is 1"),
        (FLOATS * 2 - 1, "pass (image + 1) / 2"),
        (FLOATS * np.nan, "NaN or infinity"),
        (FRAMES // 255, "values from 0 to 1 in uint8"),
        (FRAMES.astype(complex), "dtype complex128"),
        (FRAMES.astype(object), "dtype object"),
        (torch.zeros(5, 3, 16, 3), "channels could be second or last"),
        ([*PICTURES, Image.new("RGB", (8, 8))], "but frame 6 is 8 × 8 × 3"),
        ([*FRAMES, FRAMES[0, :8]], "Frame 1 is 16 × 24 × 3, but frame 6 is 8 × 24 × 3"),
        ([PICTURES[0], "missing.png"], "Frame 2: No image at missing.png"),
        (PICTURES[0], "For one picture, the first frame of image-to-video: --image"),
        (
            [None, None],
            "The clip is a list with NoneType in it. Pass PIL images, arrays or",
        ),
        ([FRAMES[0], {"a": 1}], "The clip is a list with dict in it"),
        (7, "not int"),
        (None, "not NoneType"),
        ({"a": 1}, "not dict"),
        (iter(PICTURES), "not list_iterator. Pass a list of them: list(video)."),
        ("", "The clip's path is empty"),
    ],
)
def test_what_is_no_clip(value: Any, text: str) -> None:
    assert text in error_of(value)
