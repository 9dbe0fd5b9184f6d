"""Conditioning of inpainting models, beside an independent computation in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from cogmagic._pipeline.inpainting.conditioning import (
    NOISE,
    blanked,
    kept_latents,
    three_levels,
    with_noise,
)

Array = np.ndarray[Any, Any]


def random_mask(frames: int, height: int, width: int) -> Array:
    """Rectangles of random places, and a frame that is wholly masked: 1 is regenerated."""
    rng = np.random.default_rng(frames)
    mask = np.zeros((frames, height, width), np.uint8)
    for frame in mask:
        top, left = rng.integers(0, height - 5), rng.integers(0, width - 5)
        frame[top : top + rng.integers(3, height), left : left + rng.integers(3, width)] = 1
    mask[frames // 2] = 1
    return mask


def sampled(values: Array, count: int) -> Array:
    """Linear resampling of the first axis to `count` values, between the two nearest ones.

    Positions as torch has them with ``align_corners=False``: (i + 0.5) * scale - 0.5.
    """
    at = np.clip((np.arange(count) + 0.5) * len(values) / count - 0.5, 0, None)
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, len(values) - 1)
    share = (at - low).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray(values[low] * (1 - share) + values[high] * share)


def resized(values: Array, size: tuple[int, int, int]) -> Array:
    """Trilinear, one axis after the other."""
    for axis, count in enumerate(size):
        values = np.moveaxis(sampled(np.moveaxis(values, axis, 0), count), 0, axis)
    return values


@pytest.mark.parametrize(("frames", "height", "width"), [(1, 16, 48), (5, 48, 16), (17, 80, 112)])
def test_mask_latents_are_the_authors_resized_mask(frames: int, height: int, width: int) -> None:
    mask = random_mask(frames, height, width)
    latents = (frames - 1) // 4 + 1, height // 8, width // 8
    keep = 1.0 - mask
    expected = resized(keep[:1], (1, *latents[1:]))
    if frames > 1:
        rest = resized(keep[1:], (latents[0] - 1, *latents[1:]))
        expected = np.concatenate([expected, rest])
    found = kept_latents(torch.from_numpy(mask)[None, None], latents)
    assert found.shape == (1, 1, *latents)
    np.testing.assert_allclose(found[0, 0].numpy(), expected, atol=1e-6)


def test_masked_pixels_are_black_and_black_ones_get_no_noise() -> None:
    rng = np.random.default_rng(0)
    video = rng.uniform(-1, 1, (1, 3, 5, 48, 80)).astype(np.float32)
    video[..., :7] = -1  # black in the video itself
    mask = random_mask(5, 48, 80)[None, None]
    masked = np.where(mask, np.float32(-1), video)
    found = blanked(torch.from_numpy(video), torch.from_numpy(mask))
    np.testing.assert_array_equal(found.numpy(), masked)
    noise = torch.randn(video.shape, generator=torch.Generator().manual_seed(3)).numpy()
    expected = masked + np.where(masked == -1, 0, np.float32(NOISE) * noise)
    noisy = with_noise(found, generator=torch.Generator().manual_seed(3)).numpy()
    np.testing.assert_allclose(noisy, expected, atol=1e-6)
    assert (noisy[masked == -1] == -1).all()


def test_noise_of_each_clip_has_its_own_strength() -> None:
    video, generator = torch.zeros(2, 3, 5, 16, 16), torch.Generator().manual_seed(1)
    noisy = with_noise(video, torch.tensor([0.0, 0.5]), generator)
    assert not noisy[0].any()
    assert noisy[1].std().item() == pytest.approx(0.5, rel=0.05)


def test_masks_of_void_have_three_levels() -> None:
    authors = np.array([0, 63, 127, 255], np.float32)  # remove, overlap, affected, keep
    mask = torch.from_numpy((255 - authors) / 255)
    assert three_levels(mask).tolist() == pytest.approx([1, 1, 127 / 255, 0])
