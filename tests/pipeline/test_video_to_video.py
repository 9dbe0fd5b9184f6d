"""Video to video against diffusers' own pipeline, called by hand on the same frames."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import cogmagic
from cogmagic import Progress, Request
from cogmagic._session.session import Session
from tests.helpers.toy import PROMPT

TIERS = ("none", "model", "stream", "sequential", "staged")


def moving_square(frames: int, side: int = 64) -> np.ndarray[Any, Any]:
    """A red square that moves to the right on black: uint8 RGB."""
    clip = np.zeros((frames, side, side, 3), np.uint8)
    for i, frame in enumerate(clip):
        left = 4 + i * (side - 28) // frames
        frame[20:44, left : left + 24, 0] = 230
    return clip


def by_hand(folder: Path, request: Request, frames: Any, drop: int = 0) -> str:
    """SHA-256 of the frames that diffusers' pipeline makes of these.

    Args:
        folder: the checkpoint.
        request: the same settings.
        frames: as the pipeline is to take them.
        drop: latent frames to leave out in front.
    """
    from diffusers import CogVideoXVideoToVideoPipeline

    from cogmagic._pipeline.load import scheduler_for

    pipe = CogVideoXVideoToVideoPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipe.vae.enable_tiling()
    pipe.scheduler = scheduler_for(pipe, request)
    pipe.set_progress_bar_config(disable=True)
    latents = pipe(
        video=[Image.fromarray(frame) for frame in frames],
        prompt=request.prompt,
        width=request.width,
        height=request.height,
        strength=request.strength,
        num_inference_steps=request.num_inference_steps,
        guidance_scale=request.guidance_scale,
        use_dynamic_cfg=request.use_dynamic_cfg,
        generator=torch.Generator("cpu").manual_seed(request.seed),
        output_type="latent",
        max_sequence_length=request.model.max_tokens,
    ).frames
    with torch.no_grad():
        video = pipe.decode_latents(latents[:, drop:])
    images = pipe.video_processor.postprocess_video(video, output_type="pil")[0]
    return hashlib.sha256(b"".join(image.tobytes() for image in images)).hexdigest()


@pytest.mark.slow
def test_frames_equal_those_of_diffusers_own_call_in_every_tier(
    cwd: Path, session: Session
) -> None:
    from cogmagic._models.find import embedded_folder

    options: dict[str, Any] = {
        "size": "64x64", "frames": 9, "steps": 4, "strength": 0.5, "seed": 3,
        "video": moving_square(9),
    }  # fmt: skip
    request = Request.of(PROMPT, "tiny", **options)
    expected = by_hand(embedded_folder(), request, options["video"])
    progress: list[Progress] = []
    for tier in TIERS:
        progress.clear()
        video = cogmagic.generate(PROMPT, tier=tier, on_progress=progress.append, **options)
        assert video.report.frames_sha256 == expected, tier
    steps = {p.phase: (p.done, p.total) for p in progress}
    assert steps["encode video"] == (1, 1)
    assert steps["denoise"] == (2, 2)


@pytest.mark.parametrize("chosen", [{"scheduler": "dpm"}, {"timesteps": "999,749,499,249"}])
def test_schedulers_begin_at_the_same_step(
    toy: Path, cwd: Path, session: Session, chosen: dict[str, Any]
) -> None:
    options: dict[str, Any] = {
        "size": "64x64", "frames": 9, "steps": 4, "strength": 0.75, "seed": 3,
        "video": moving_square(9), **chosen,
    }  # fmt: skip
    video = cogmagic.generate(PROMPT, model=str(toy), **options)
    request = Request.of(PROMPT, str(toy), **options)
    assert video.report.frames_sha256 == by_hand(toy, request, options["video"])


@pytest.mark.slow
@pytest.mark.parametrize("speed", [{"lean_decode": True}, {"cache": "first-block:0.5"}])
def test_decoding_and_step_cache_work(
    toy: Path, cwd: Path, session: Session, speed: dict[str, Any]
) -> None:
    options: dict[str, Any] = {
        "model": str(toy), "size": "240x160", "frames": 9, "steps": 6, "strength": 0.9, "seed": 3,
        "video": moving_square(9, 48),
    }  # fmt: skip
    plain = cogmagic.generate(PROMPT, **options)
    other = cogmagic.generate(PROMPT, **options, **speed)
    if "cache" in speed:
        assert other.report.reused_steps[1] == 5
    else:
        assert other.report.frames_sha256 == plain.report.frames_sha256


@pytest.mark.slow
def test_cogvideox_1_5_begins_with_the_first_frame_repeated(
    tmp_path: Path, cwd: Path, session: Session
) -> None:
    """Its latent frames are denoised in pairs, and as many frames come out as were asked for."""
    from tests.helpers.checkpoints import save_checkpoint

    folder, clip = save_checkpoint(tmp_path / "v15", v15=True), moving_square(17)
    options: dict[str, Any] = {"size": "64x64", "frames": 17, "steps": 2, "seed": 3, "video": clip}
    video = cogmagic.generate(PROMPT, model=str(folder), strength=0.5, **options)
    assert video.frames().shape == (17, 64, 64, 3)
    request = Request.of(PROMPT, str(folder), strength=0.5, **options)
    padded = np.concatenate([clip[:1]] * 4 + [clip])
    assert video.report.frames_sha256 == by_hand(folder, request, padded, drop=1)


def test_clip_is_converted_to_the_bits_of_diffusers(toy: Path) -> None:
    from cogmagic._pipeline.load import load
    from cogmagic._pipeline.spec import PipelineSpec
    from cogmagic._pipeline.video_to_video import video_to_video

    pipe, clip = load(PipelineSpec(toy, "t2v", "float32")), moving_square(3)
    clip[...] += np.random.default_rng(0).integers(0, 20, clip.shape, np.uint8)
    images = [Image.fromarray(frame) for frame in clip]
    run = video_to_video(pipe, torch.bfloat16)
    ours = run.video_processor.preprocess_video(list(clip), height=64, width=64)
    theirs = run.video_processor._processor.preprocess_video(images, height=64, width=64)
    assert torch.equal(ours, theirs.to(torch.bfloat16))
    assert run.transformer is pipe.transformer
