"""Colours and cross-fade at the seam of an extended clip."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from cogmagic._video.seam import cross_fade, fade_difference, match_colours, match_seam

RANDOM = np.random.default_rng(0)


def picture() -> np.ndarray[Any, Any]:
    """A smooth picture in 30..210, whose colours can be shifted without being cut off."""
    small = RANDOM.integers(20, 220, (6, 8, 3), dtype=np.uint8)
    large = Image.fromarray(small).resize((128, 96), Image.Resampling.BICUBIC)
    return np.asarray(large).clip(30, 210)


@pytest.mark.parametrize(
    ("gain", "shift"), [(1.0, 6.0), (1.0, -9.0), (1.05, 0.0), (0.94, 4.0), (1.0, 0.0)]
)
def test_offset_and_contrast_of_the_first_frame_are_taken_from_all(
    gain: float, shift: float
) -> None:
    originals = np.stack([picture() for _ in range(3)])
    mean = originals[0].mean((0, 1))
    other = ((originals - mean) * gain + mean + shift).round().clip(0, 255).astype(np.uint8)
    match_colours(other, originals[0])
    assert np.abs(other.astype(int) - originals).max() <= 2


def test_blur_and_noise_change_no_colours() -> None:
    original = picture()
    blurred = np.asarray(Image.fromarray(original).filter(ImageFilter.GaussianBlur(1)))
    noisy = (blurred + RANDOM.normal(0, 6, blurred.shape)).round().clip(0, 255).astype(np.uint8)
    frames = np.stack([noisy, noisy])
    before = frames.copy()
    match_colours(frames, original)
    assert np.abs(frames.astype(int) - before).mean() < 1


def test_plain_channel_is_shifted_and_not_stretched() -> None:
    """Contrast of a nearly plain channel is noise, whose ratio says nothing."""
    original = np.full((64, 64, 3), 100, np.uint8)
    frames = np.full((2, 64, 64, 3), 104, np.uint8)
    frames[:, :8, :8] = 106
    frames[1, 32:, :] = 240  # something bright appears
    match_colours(frames, original)
    assert abs(int(frames[1, 40, 40, 0]) - 236) <= 1


def test_correction_is_limited_for_another_picture() -> None:
    frames = np.zeros((2, 64, 64, 3), np.uint8)
    match_colours(frames, np.full((64, 64, 3), 255, np.uint8))
    assert frames.max() == 16


def test_difference_of_the_first_frame_fades_up_to_a_limit() -> None:
    frames = np.full((6, 2, 2, 3), 100, np.uint8)
    fade_difference(frames, np.full((2, 2, 3), 104, np.uint8))
    assert frames[:, 0, 0, 0].tolist() == [104, 103, 102, 101, 100, 100]
    frames[:] = 250
    fade_difference(frames, np.full((2, 2, 3), 0, np.uint8))
    assert frames[:, 0, 0, 0].tolist() == [242, 244, 246, 248, 250, 250]


@pytest.mark.parametrize("overlap", [1, 3])
def test_seam_of_a_model_that_changes_colours_and_details_is_not_the_largest_step(
    overlap: int,
) -> None:
    """Of a scene that moves by a pixel a frame."""
    scene = np.concatenate([picture(), picture()], axis=1)
    clip = np.stack([scene[:, n : n + 128] for n in range(12)])
    new = (clip[6 - overlap :] * 0.97 - 4).round().clip(0, 255).astype(np.uint8)
    grain = RANDOM.normal(0, 3, clip[0].shape)
    clip[:6] = (clip[:6] + grain).round().clip(0, 255)  # which the model leaves out
    match_seam(new, clip[6 - overlap : 6])
    video = np.concatenate([clip[: 6 - overlap], new]).astype(float)
    assert np.array_equal(video[: 7 - overlap], clip[: 7 - overlap])
    steps = np.abs(np.diff(video, axis=0)).mean(axis=(1, 2, 3))
    across = steps[6 - overlap : 6]
    assert across.max() < 1.2 * np.delete(steps, range(6 - overlap, 6)).mean()


def test_cross_fade_begins_with_the_clip_and_ends_with_the_new_frames() -> None:
    frames = np.full((6, 2, 2, 3), 200, np.uint8)
    cross_fade(frames, np.full((4, 2, 2, 3), 100, np.uint8))
    assert frames[:, 0, 0, 0].tolist() == [100, 125, 150, 175, 200, 200]
    frames = np.full((3, 2, 2, 3), 200, np.uint8)
    cross_fade(frames, np.full((1, 2, 2, 3), 100, np.uint8))
    assert frames[:, 0, 0, 0].tolist() == [100, 200, 200]
