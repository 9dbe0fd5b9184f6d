"""Inpainting, end frames, extension and removal, in every tier."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cogmagic
from cogmagic import RequestError
from cogmagic._models.checkpoints import identify
from cogmagic._session.session import Session
from cogmagic._video.library import clips_in
from tests.helpers.clips import Made, numbered, numbers
from tests.helpers.toy import PROMPT, QUICK

SIZE = (96, 96)
CLIP = np.stack([numbered(n, SIZE) for n in range(17)])
MASK = np.zeros((96, 96), bool)
MASK[30:60, 20:70] = True
TIERS = ["none", "model", "stream", "staged", "sequential"]


@pytest.mark.parametrize("tier", TIERS)
def test_frames_are_identical_in_every_tier(
    toy_inp: Path, toy_void: Path, cwd: Path, session: Session, tier: str
) -> None:
    for toy in (toy_inp, toy_void):
        made = _made(toy, tier)
        assert made.report.tier == tier
        assert made.report.frames_sha256 == _plain(toy)


def _made(toy: Path, tier: str) -> cogmagic.Video:
    return cogmagic.generate(PROMPT, model=str(toy), tier=tier, video=CLIP, mask=MASK, **QUICK)


@cache
def _plain(toy: Path) -> str:
    return _made(toy, "none").report.frames_sha256


def test_pasted_pixels_are_those_of_the_clip(toy_inp: Path, cwd: Path, session: Session) -> None:
    options: dict[str, Any] = {"model": str(toy_inp), "video": CLIP, "mask": MASK, **QUICK}
    video = cogmagic.generate(PROMPT, **options, paste_back=True, save="frames.png")
    frames = video.frames()
    assert (frames[:, ~MASK] == CLIP[:9, ~MASK]).all()
    assert not (frames[:, MASK] == CLIP[:9, MASK]).all()
    assert "mask: white is made new, 16% of the pixels change" in video.facts_line()


def test_bars_are_cut_off_again(toy_inp: Path, cwd: Path, session: Session) -> None:
    wide, part = CLIP[:, 20:71], MASK[20:71]
    options: dict[str, Any] = {"model": str(toy_inp), "video": wide, "mask": part, **QUICK}
    options |= {"fit": "pad", "size": "96x96", "paste_back": True}
    video = cogmagic.generate(PROMPT, **options, save="frames.png")
    frames = video.frames()
    assert (video.height, video.width) == frames.shape[1:3] == (50, 96)  # an even number of rows
    assert (frames[:, ~part[:50]] == wide[:9, :50][:, ~part[:50]]).all()
    assert not (frames[:, part[:50]] == wide[:9, :50][:, part[:50]]).all()
    assert "pad: bars cut off · mask: white is made new, 31% of the pixels" in video.facts_line()
    (found,) = clips_in(cwd)
    assert (found.video().width, found.video().height) == (96, 50)


def test_a_last_frame_is_pasted_too(toy_inp: Path, cwd: Path, session: Session) -> None:
    first, last = (Image.fromarray(CLIP[n]) for n in (3, 12))
    options: dict[str, Any] = {"image": first, "last_image": last, "paste_back": True, **QUICK}
    video = cogmagic.generate(PROMPT, model=str(toy_inp), save="frames.png", **options)
    frames = video.frames()
    assert len(frames) == 9
    assert (frames[[0, -1]] == CLIP[[3, 12]]).all()


def test_an_extension_is_seen_in_several_frames(
    toy_inp: Path, cwd: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cogmagic._pipeline import run_inputs

    seen: dict[str, Any] = {}
    inputs = run_inputs.inpaint_inputs

    def watched(*args: Any) -> Any:
        seen.update(inputs(*args))
        return inputs(*args)

    monkeypatch.setattr(run_inputs, "inpaint_inputs", watched)
    options: dict[str, Any] = {"extend": CLIP, "overlap": 4, "last_image": CLIP[0], **QUICK}
    video = cogmagic.generate(PROMPT, model=str(toy_inp), **options)
    assert video.num_frames == 17 + 5
    assert numbers(np.stack(seen["video"]))[:5] == [13, 14, 15, 16, 13]
    kept = [not mask.any() for mask in seen["mask_video"]]
    assert [n for n, keep in enumerate(kept) if keep] == [0, 1, 2, 3, 8, 9]  # 9 mirrors the last
    assert len(kept) == 13


def test_text_alone_and_a_redrawn_video_work(toy_inp: Path, cwd: Path, session: Session) -> None:
    text = cogmagic.generate(PROMPT, model=str(toy_inp), **QUICK)
    assert "encode video" not in text.report.seconds
    redrawn = cogmagic.generate(
        PROMPT, model=str(toy_inp), video=CLIP, num_frames=9, num_inference_steps=10, seed=1
    )
    assert redrawn.report.frames_sha256 != text.report.frames_sha256
    assert len(redrawn.frames()) == 9


def test_long_clips_are_made_in_chunks(
    toy_void: Path, cwd: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identify, "VOID_MOST", 30)
    clip, part = np.stack([numbered(n, (48, 32)) for n in range(40)]), MASK[30:62, 10:58]
    options: dict[str, Any] = {"video": clip, "mask": part, "size": "48x32", "paste_back": True}
    video = cogmagic.generate(
        PROMPT, model=str(toy_void), **options, num_inference_steps=1, seed=1, tier="staged",
        save="frames.png",
    )  # fmt: skip
    frames = video.frames()
    assert len(frames) == video.num_frames == 40
    assert (frames[:, ~part] == clip[:, ~part]).all()
    assert not (frames[:, part] == clip[:, part]).all()


@pytest.mark.slow
def test_rates_and_sizes_of_any_kind_are_fitted(
    toy_void: Path, cwd: Path, session: Session
) -> None:
    """A clip and its mask at other rates and sizes; 30 frames of them, which VOID pads to 85."""
    clip = Made("clip.mkv", "ffv1", rate=25, count=60, picture=lambda n: numbered(n)).at(cwd)
    mask = Made("mask.mkv", "ffv1", "gray", 10, 24, picture=lambda _: still()).at(cwd)
    video = cogmagic.generate(
        PROMPT, model=str(toy_void), video=clip, mask=mask, num_frames=30, fps=15, seed=1,
        num_inference_steps=1, size="96x64",
    )  # fmt: skip
    assert video.frames().shape == (30, 64, 96, 3)


def still() -> np.ndarray[Any, Any]:
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[10:30, 20:50] = 255
    return frame


@pytest.mark.parametrize(
    ("mask", "more", "message"),
    [
        (np.zeros((96, 96), bool), {}, "selects none of the pixels of the 9 frames of 96x96"),
        (np.ones((96, 96), bool), {}, "selects all pixels"),
        (np.ones((96, 96), bool), {"fit": "pad", "size": "160x96"}, "selects all pixels"),
        (np.ones((96, 96), bool), {"fit": "pad", "size": "160x96", "invert_mask": True}, "none of"),
        (numbered(3, SIZE)[:, :, 0] // 2 + 40, {}, "a picture, not a mask"),
    ],
    ids=["empty", "full", "full-pad", "empty-pad", "photo"],
)
def test_bad_masks_are_refused_before_anything_is_loaded(
    toy_inp: Path, cwd: Path, session: Session, mask: Any, more: dict[str, Any], message: str
) -> None:
    options: dict[str, Any] = {"video": CLIP, "mask": mask, **QUICK, **more}
    with pytest.raises(RequestError, match=message):
        cogmagic.generate(PROMPT, model=str(toy_inp), **options)
    assert session.slot.loaded is None
    assert not list(cwd.iterdir())


def test_cell_takes_all_options(toy_inp: Path, shell: Any, session: Session) -> None:
    shell.user_ns |= {"clip": CLIP, "part": MASK}
    line = f"--model {toy_inp} --frames 9 --steps 2 --video clip --mask part --invert-mask"
    shell.run_cell_magic("cogvideo", f"{line} --paste-back --out a --save a.png", PROMPT)
    frames = shell.user_ns["a"].frames()
    assert (frames[:, MASK] == CLIP[:9, MASK]).all()
    assert "white is kept" in shell.user_ns["a"].report.masked


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "most"),
    [
        ({"speed": "fast"}, 2),
        ({"guidance_halves": True}, 2),
        ({"parallel": 2}, 2),
        ({"cache": "first-block:0.000001"}, 0),  # skips nothing: each window compares its own steps
    ],
    ids=["fast", "halves", "parallel", "cache"],
)
def test_settings_leave_the_windows_as_they_are(
    toy_void: Path, cwd: Path, session: Session, options: dict[str, Any], most: int
) -> None:
    """24 latent frames are two windows."""
    clip = np.stack([numbered(n % 17, (48, 32)) for n in range(93)])
    run: dict[str, Any] = {"video": clip, "mask": MASK[30:62, 10:58], "model": str(toy_void)}
    run |= {"width": 48, "height": 32, "num_frames": 93, "num_inference_steps": 2, "seed": 1}
    plain = cogmagic.generate(PROMPT, **run, save="plain.png").frames().astype(int)
    other = cogmagic.generate(PROMPT, **run, **options, save="other.png").frames()
    assert abs(other - plain).max() <= most


@pytest.mark.slow
def test_an_adapter_changes_the_frames_alike_in_two_tiers(
    toy_inp: Path, cwd: Path, session: Session
) -> None:
    from diffusers import CogVideoXTransformer3DModel

    from tests.helpers.lora_files import write_lora

    transformer = CogVideoXTransformer3DModel.from_pretrained(toy_inp, subfolder="transformer")
    lora = write_lora(cwd / "style.safetensors", transformer, strength=0.5)
    options: dict[str, Any] = {"model": str(toy_inp), "video": CLIP, "mask": MASK, **QUICK}
    plain = cogmagic.generate(PROMPT, **options).report.frames_sha256
    none, stream = (
        cogmagic.generate(PROMPT, **options, lora=lora, tier=tier).report.frames_sha256
        for tier in ("none", "stream")
    )
    assert none == stream != plain
