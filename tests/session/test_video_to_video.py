"""Runs that begin from a video: an earlier one, a file, or frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cogmagic
from cogmagic import RequestError
from cogmagic._session.session import Session
from tests.helpers.toy import PROMPT, QUICK

WIDE = np.full((9, 48, 96, 3), 90, np.uint8)


def test_earlier_video_is_cropped_and_named(toy: Path, cwd: Path, session: Session) -> None:
    first = cogmagic.generate(PROMPT, model=str(toy), size="96x64", **QUICK)
    second = cogmagic.generate(
        PROMPT, model=str(toy), size="64x64", video=first, strength=0.5, num_inference_steps=4
    )
    assert second.num_frames == 9
    assert second.frames().shape == (9, 64, 64, 3)
    assert " · crop: 33 % of the width cut off · " in second.facts_line()
    assert {"encode video", "denoise"} <= second.report.seconds.keys()
    same = cogmagic.generate(
        PROMPT, model=str(toy), size="64x64", video=str(first.path), strength=0.5,
        num_inference_steps=4, seed=second.seed, start=0,
    )  # fmt: skip
    assert same.report.frames_sha256 == second.report.frames_sha256


@pytest.mark.parametrize("keep", ["cold", "hot"])
def test_kernel_makes_videos_from_noise_and_from_a_video_in_turn(
    toy: Path, cwd: Path, session: Session, keep: str
) -> None:
    """Nothing of the one is left in the pipeline of the other."""
    options: dict[str, Any] = {"model": str(toy), "size": "64x64", "keep": keep, **QUICK}
    video = {"video": WIDE, "strength": 0.5}
    made = [cogmagic.generate(PROMPT, **options, **v) for v in ({}, video, {}, video)]
    noise, begun, again, once_more = (v.report.frames_sha256 for v in made)
    assert noise == again != begun == once_more
    assert session.slot.plan is not None
    video_of_plan = session.slot.plan.request.video
    assert video_of_plan is not None
    assert video_of_plan.source == ()  # the run alone had its frames


def test_first_frame_is_stretched_with_a_remark_or_fitted(
    toy_i2v: Path, cwd: Path, session: Session
) -> None:
    picture = Image.fromarray(np.arange(48 * 96 * 3, dtype=np.uint8).reshape(48, 96, 3))
    options: dict[str, Any] = {"model": str(toy_i2v), "image": picture, **QUICK}
    stretched = cogmagic.generate(PROMPT, **options)
    assert "the first frame is 96x48 and was stretched to 96x96" in stretched.report.warning
    cropped = cogmagic.generate(PROMPT, **options, fit="crop")
    assert cropped.report.warning == ""
    assert "crop: 50 % of the width cut off" in cropped.facts_line()
    by_hand = picture.resize((96, 96), Image.Resampling.LANCZOS)
    same = cogmagic.generate(PROMPT, **options | {"image": by_hand})
    assert same.report.frames_sha256 == stretched.report.frames_sha256
    assert same.report.frames_sha256 != cropped.report.frames_sha256


def test_truncated_file_is_refused_before_anything_is_loaded(
    toy: Path, cwd: Path, session: Session
) -> None:
    made = cogmagic.generate(PROMPT, model=str(toy), size="64x64", save="whole.mp4", **QUICK)
    session.release()
    Path("cut.mp4").write_bytes(made.path.read_bytes()[:-2000])
    with pytest.raises(RequestError, match=r"cut\.mp4") as error:
        cogmagic.generate(PROMPT, model=str(toy), size="64x64", video="cut.mp4", **QUICK)
    assert "\n" not in str(error.value)
    assert session.slot.loaded is None


def test_variable_of_a_cell(toy: Path, shell: Any, session: Session) -> None:
    shell.run_cell_magic(
        "cogvideo", f"--model {toy} --size 64x64 --frames 9 --steps 2 --out a", PROMPT
    )
    line = f"--model {toy} --size 64x64 --steps 4 --video a --strength 0.5 --out b"
    shell.run_cell_magic("cogvideo", line, PROMPT)
    a, b = shell.user_ns["a"], shell.user_ns["b"]
    assert a.num_frames == b.num_frames == 9
    assert a.report.frames_sha256 != b.report.frames_sha256
    with pytest.raises(RequestError, match="5b-i2v takes no video"):
        shell.run_cell_magic("cogvideo", "--model 5b-i2v --video a --dry-run", PROMPT)
