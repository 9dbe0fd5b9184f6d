"""The embedded image-to-video model against diffusers' own pipeline."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

import cogmagic
from cogmagic._session.session import Session

PROMPT = "the red square moves right"


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    picture = Image.new("RGB", (96, 96))
    ImageDraw.Draw(picture).rectangle((30, 30, 55, 55), fill=(215, 30, 35))
    return picture


@pytest.fixture(scope="module")
def expected(picture: Image.Image) -> str:
    """The digest of the frames that diffusers' pipeline makes by itself."""
    import torch
    from diffusers import CogVideoXImageToVideoPipeline

    folder = cogmagic.models()["tiny-i2v"].folder
    pipe = CogVideoXImageToVideoPipeline.from_pretrained(folder, dtype=torch.float32)
    pipe.vae.enable_tiling()
    frames = pipe(
        picture,
        PROMPT,
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
@pytest.mark.parametrize("tier", ["none", "model", "stream", "sequential", "staged"])
def test_frames_are_those_of_the_plain_pipeline(
    tier: str, expected: str, picture: Image.Image, session: Session, cwd: Path
) -> None:
    video = cogmagic.generate(
        PROMPT, model="tiny-i2v", image=picture, seed=3, steps=2, frames=9, tier=tier
    )
    assert video.report.frames_sha256 == expected
    assert video.report.tier == tier
