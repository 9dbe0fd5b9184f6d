"""The embedded inpainting model against its own pipeline, and what --paste-back keeps."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cogmagic
from cogmagic._session.session import Session

PROMPT = "a blue square moves right"
Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def clip() -> Array:
    clip = np.zeros((9, 96, 96, 3), np.uint8)
    for i, frame in enumerate(clip):
        frame[56:80, 8 + 3 * i : 32 + 3 * i] = (50, 85, 235)
        frame[16:40, 56 - 3 * i : 80 - 3 * i] = (245, 225, 45)
    return clip


@pytest.fixture(scope="module")
def mask() -> Array:
    mask = np.zeros((9, 96, 96), np.uint8)
    for i, frame in enumerate(mask):
        frame[10:46, 50 - 3 * i : 86 - 3 * i] = 255
    return mask


@pytest.fixture(scope="module")
def expected(clip: Array, mask: Array) -> str:
    """The digest of the frames that the pipeline makes by itself."""
    import torch

    from cogmagic._pipeline.inpainting.pipeline import CogVideoXFunInpaintPipeline

    folder = cogmagic.models()["tiny-inp"].folder
    pipe = CogVideoXFunInpaintPipeline.from_pretrained(folder, dtype=torch.float32)
    pipe.vae.enable_tiling()
    frames = pipe(
        PROMPT,
        video=list(clip),
        mask_video=list(mask),
        height=96,
        width=96,
        num_frames=9,
        num_inference_steps=2,
        guidance_scale=2.5,
        max_sequence_length=64,
        generator=torch.Generator().manual_seed(3),
        output_type="np",
    ).frames[0]
    return hashlib.sha256((frames * 255).round().astype(np.uint8).tobytes()).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("tier", ["none", "stream"])
def test_frames_are_those_of_the_plain_pipeline(
    tier: str, expected: str, clip: Array, mask: Array, session: Session, cwd: Path
) -> None:
    video = cogmagic.generate(
        PROMPT, model="tiny-inp", video=clip, mask=mask, seed=3, steps=2, frames=9, tier=tier
    )
    assert video.report.frames_sha256 == expected
    assert video.report.tier == tier


@pytest.mark.slow
def test_paste_back_keeps_the_pixels_that_the_mask_keeps(
    clip: Array, mask: Array, session: Session, cwd: Path
) -> None:
    video = cogmagic.generate(
        PROMPT, model="tiny-inp", video=clip, mask=mask, paste_back=True,
        seed=3, steps=2, frames=9, save="frames.png",
    )  # fmt: skip
    frames = video.frames()
    assert (frames[mask == 0] == clip[mask == 0]).all()
    assert not (frames[mask == 255] == clip[mask == 255]).all()
