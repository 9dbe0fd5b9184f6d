"""The inpainting pipeline beside independent computations, in every tier."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cogmagic._models.masks.levels import AFFECTED, KEPT, OVERLAP, REMOVED
from cogmagic._pipeline.inpainting.conditioning import NOISE
from cogmagic._pipeline.inpainting.inputs import mirrored
from cogmagic._pipeline.inpainting.pipeline import CogVideoXFunInpaintPipeline
from tests.helpers.checkpoints import save_checkpoint
from tests.pipeline.inpainting.test_conditioning import random_mask, resized

Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("inpaint")
    return {
        "inp": save_checkpoint(folder / "inp", inp=True),
        "v15": save_checkpoint(folder / "v15", inp=True, v15=True),
        "void": save_checkpoint(folder / "void", void=True),
    }


def loaded(folder: Path) -> Any:
    return CogVideoXFunInpaintPipeline.from_pretrained(folder, dtype=torch.float32)


def moving(frames: int, height: int, width: int) -> Array:
    """A gradient with a black edge, which moves."""
    rng = np.random.default_rng(frames)
    clip = rng.integers(1, 256, (frames, height, width, 3), np.uint8)
    clip[:, :, :5] = 0
    return clip


def noise_of(shape: tuple[int, ...], frames: int, seed: int) -> Array:
    """The noise of a run: first that which is denoised, then that of each frame."""
    generator = torch.Generator().manual_seed(seed)
    torch.randn(shape, generator=generator)
    height, width = 8 * shape[3], 8 * shape[4]
    each = [torch.randn((1, 3, 1, height, width), generator=generator) for _ in range(frames)]
    return np.concatenate([one.numpy() for one in each], axis=2)


def encoded(pipe: Any, clip: Array) -> Array:
    """The most likely latents of a clip in -1..1, by the VAE alone."""
    with torch.no_grad():
        mode = pipe.vae.encode(torch.from_numpy(clip)).latent_dist.mode()
    return np.asarray(mode.permute(0, 2, 1, 3, 4).numpy() * pipe.vae.config.scaling_factor)


def conditioning(pipe: Any, clip: Array, mask: Array, seed: int) -> Array:
    frames, height, width = mask.shape
    shape = (1, (frames - 1) // 4 + 1, 4, height // 8, width // 8)
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(shape, generator=generator)
    found = pipe.prepare_conditioning(list(clip), list(mask), latents, generator, NOISE)
    return np.asarray(found.detach().numpy())


SHAPES = [(9, 48, 80), (13, 80, 48), (17, 112, 144)]


@pytest.mark.parametrize(("frames", "height", "width"), SHAPES)
def test_fun_sees_the_mask_and_the_masked_video(
    folders: dict[str, Path], frames: int, height: int, width: int
) -> None:
    pipe = loaded(folders["inp"])
    clip, mask = moving(frames, height, width), random_mask(frames, height, width)
    found = conditioning(pipe, clip, mask * np.uint8(255), seed=4)
    latents, scale = (frames - 1) // 4 + 1, pipe.vae.config.scaling_factor
    video = clip.astype(np.float32).transpose(3, 0, 1, 2)[None] / 127.5 - 1
    masked = np.where(mask, np.float32(-1), video)
    noise = noise_of((1, latents, 4, height // 8, width // 8), frames, 4)
    masked = masked + np.where(masked == -1, 0, np.float32(NOISE) * noise)
    size = height // 8, width // 8
    keep = [resized(1.0 - mask[:1], (1, *size)), resized(1.0 - mask[1:], (latents - 1, *size))]
    np.testing.assert_allclose(found[0, :, 0], np.concatenate(keep) * scale, atol=1e-5)
    np.testing.assert_allclose(found[:, :, 1:], encoded(pipe, masked), atol=2e-4)


@pytest.mark.parametrize(("frames", "height", "width"), SHAPES)
def test_void_sees_the_encoded_mask_and_the_whole_video(
    folders: dict[str, Path], frames: int, height: int, width: int
) -> None:
    pipe = loaded(folders["void"])
    rng = np.random.default_rng(1)
    clip = moving(frames, height, width)
    mask = rng.choice(np.array([KEPT, AFFECTED, OVERLAP, REMOVED], np.uint8), clip.shape[:3])
    found = conditioning(pipe, clip, mask, seed=5)
    authors = (255 - mask.astype(np.float32)) / 255  # 0 remove, .247 overlap, .498 affected, 1 keep
    changed = 1 - authors
    levels = np.where(changed > 0.75, 1, np.where(changed < 0.25, 0, 127 / 255))
    shown = np.repeat((1 - levels)[None, None], 3, axis=1).astype(np.float32)
    video = clip.astype(np.float32).transpose(3, 0, 1, 2)[None] / 127.5 - 1
    latents = (frames - 1) // 4 + 1
    noise = noise_of((1, latents, 4, height // 8, width // 8), frames, 5)
    video = video + np.where(video == -1, 0, np.float32(NOISE) * noise)
    np.testing.assert_allclose(found[:, :, :4], encoded(pipe, shown), atol=2e-4)
    np.testing.assert_allclose(found[:, :, 4:], encoded(pipe, video), atol=2e-4)


def test_a_checkpoint_without_noise_gets_none(folders: dict[str, Path]) -> None:
    pipe = loaded(folders["inp"])
    assert pipe.transformer.config.add_noise_in_inpaint_model
    pipe.transformer.register_to_config(add_noise_in_inpaint_model=False)
    clip, mask = moving(9, 48, 80), random_mask(9, 48, 80)
    found = conditioning(pipe, clip, mask * np.uint8(255), seed=4)
    video = clip.astype(np.float32).transpose(3, 0, 1, 2)[None] / 127.5 - 1
    masked = np.where(mask, np.float32(-1), video)
    np.testing.assert_allclose(found[:, :, 1:], encoded(pipe, masked), atol=2e-4)


def test_without_anything_kept_fun_sees_zeros(folders: dict[str, Path]) -> None:
    pipe = loaded(folders["inp"])
    clip = moving(9, 48, 80)
    assert not conditioning(pipe, clip, np.full(clip.shape[:3], 255, np.uint8), seed=4).any()


def run(pipe: Any, **options: Any) -> Any:
    return pipe(
        prompt="a red circle",
        height=48,
        width=80,
        num_inference_steps=2,
        generator=torch.Generator().manual_seed(1),
        max_sequence_length=16,
        **options,
    ).frames


def test_the_transformer_gets_noise_mask_and_video_in_that_order(folders: dict[str, Path]) -> None:
    pipe, seen = loaded(folders["inp"]), []
    pipe.transformer.register_forward_pre_hook(
        lambda _, __, kwargs: seen.append(kwargs["hidden_states"].clone()), with_kwargs=True
    )
    clip, mask = moving(9, 48, 80), random_mask(9, 48, 80) * np.uint8(255)
    run(pipe, video=list(clip), mask_video=list(mask), num_frames=9, output_type="latent")
    expected = conditioning(pipe, clip, mask, seed=1)
    noise = torch.randn((1, 3, 4, 6, 10), generator=torch.Generator().manual_seed(1))
    assert len(seen) == 2
    assert seen[0].shape == (2, 3, 9, 6, 10)  # with guidance, both alike
    torch.testing.assert_close(seen[0][:, :, :4], noise.expand(2, -1, -1, -1, -1))
    for step in seen:
        np.testing.assert_allclose(step[:, :, 4:].numpy(), np.repeat(expected, 2, 0), atol=1e-5)


@pytest.mark.parametrize(("latents", "frames"), [(2, 5), (3, 9), (4, 13)])
def test_any_number_of_latents_is_decoded(
    folders: dict[str, Path], latents: int, frames: int
) -> None:
    pipe = loaded(folders["v15"])
    clip = pipe.decode_latents(torch.randn(1, latents, 4, 6, 10))
    assert clip.shape == (1, 3, frames, 48, 80)


def test_images_are_the_default_output(folders: dict[str, Path]) -> None:
    (video,) = run(loaded(folders["v15"]), num_frames=13)
    assert len(video) == 13
    assert isinstance(video[0], Image.Image)


def test_clips_run_back_and_forth_after_their_end() -> None:
    clip = np.arange(6, dtype=np.uint8)
    assert [int(n) for n in mirrored(clip, 15)] == [0, 1, 2, 3, 4, 5, 5, 4, 3, 2, 1, 0, 0, 1, 2]


def temporal_padding(length: int, least: int = 85, most: int = 197) -> int:
    """The number of frames by the rule of VOID's authors."""
    padded = length // 4 * 4 + 1
    padded += 4 * (padded < length)
    padded += 4 * (padded // 4 % 2 == 0)
    return max(least, min(padded, most))


@pytest.mark.parametrize("frames", range(2, 198))
def test_void_pads_as_its_authors(frames: int) -> None:
    from cogmagic._models.family import seen_frames

    assert seen_frames(frames, 2, "void") == temporal_padding(frames)
