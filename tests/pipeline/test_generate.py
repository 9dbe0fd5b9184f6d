"""Encode, denoise and decode, against diffusers' own call."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import cogmagic
from cogmagic import Progress
from cogmagic._session.session import Session
from tests.helpers.toy import PROMPT, QUICK


def test_clip_larger_than_a_tile_is_decoded(toy: Path, cwd: Path, session: Session) -> None:
    progress: list[Progress] = []
    video = cogmagic.generate(
        PROMPT, model=str(toy), width=240, height=160, on_progress=progress.append, **QUICK
    )
    assert video.frames().shape == (9, 160, 240, 3)
    assert (progress[-2].phase, progress[-2].done, progress[-2].total) == ("decode", 6, 6)


def test_padding_of_cogvideox_1_5_is_cut_off(tmp_path: Path, session: Session) -> None:
    from tests.helpers.checkpoints import save_checkpoint

    folder = save_checkpoint(tmp_path / "v15", v15=True)
    video = cogmagic.generate(
        PROMPT, model=str(folder), save=tmp_path / "a.mp4", **{**QUICK, "num_frames": 17}
    )
    assert video.frames().shape == (17, 96, 96, 3)


@pytest.mark.parametrize(("width", "height"), [(96, 160), (160, 96)])
def test_cogvideox_1_5_generates_sizes_beyond_its_configured_grid(
    tmp_path: Path, session: Session, width: int, height: int
) -> None:
    from tests.helpers.checkpoints import save_checkpoint

    folder = save_checkpoint(tmp_path / "v15", v15=True)  # its configuration says 96×96
    options = {"model": str(folder), "save": tmp_path, **QUICK, "num_frames": 17}
    video = cogmagic.generate(PROMPT, width=width, height=height, **options)
    assert video.frames().shape == (17, height, width, 3)


def test_frames_equal_those_of_the_pipelines_own_call(
    toy: Path, cwd: Path, session: Session
) -> None:
    """The split into phases changes nothing: diffusers' own call gives the same pixels."""
    import hashlib

    from cogmagic._pipeline.load import load, scheduler_for
    from cogmagic._pipeline.spec import PipelineSpec

    video = cogmagic.generate(PROMPT, model=str(toy), guidance_scale=4, **QUICK)
    pipe = load(PipelineSpec(toy, "t2v", "float32"))
    request = cogmagic.Request.of(PROMPT, cogmagic.plan(model=str(toy)).request.model)
    pipe.scheduler = scheduler_for(pipe, request)
    images = pipe(
        PROMPT, height=96, width=96, num_frames=9, num_inference_steps=2, guidance_scale=4,
        generator=torch.Generator("cpu").manual_seed(1), output_type="pil", max_sequence_length=16,
    ).frames[0]  # fmt: skip
    raw = b"".join(image.tobytes() for image in images)
    assert hashlib.sha256(raw).hexdigest() == video.report.frames_sha256
