"""Masks of every kind that a user may pass: what they select, or one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from cogmagic import Request, RequestError
from cogmagic._models.clips.clip import clip_of
from cogmagic._models.masks.against_clip import Excerpt, check_mask, times_of
from cogmagic._models.masks.levels import AFFECTED, KEPT, OVERLAP, REMOVED, in_levels
from cogmagic._models.masks.mask import mask_of
from tests.helpers.clips import Made

CLIP = np.zeros((9, 48, 64, 3), np.uint8)
STILL = np.zeros((48, 64), bool)
STILL[10:30, 20:40] = True


def error_of(mask: Any, model: str = "1.5-5b-inp", **options: Any) -> str:
    with pytest.raises(RequestError) as error:
        Request.of("a fox", model, video=CLIP, mask=mask, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "mask",
    [
        STILL,
        STILL.astype(np.float32),
        STILL.astype(np.uint8),
        STILL.astype(np.int64) * 255,
        torch.from_numpy(STILL),
        torch.from_numpy(STILL).to(torch.bfloat16),
        STILL[None],
        STILL[..., None][None],
        STILL[None, None],
        Image.fromarray(STILL),
        [Image.fromarray(STILL)],
    ],
    ids=lambda m: type(m).__name__,
)
def test_one_frame_is_for_all(mask: Any) -> None:
    made = mask_of(mask)
    assert made.clip is None
    assert made.size == (64, 48)
    assert (np.asarray(made.source)[..., 0] > 127).tolist() == STILL.tolist()


MOVING = np.repeat(STILL[None], 9, 0)


@pytest.mark.parametrize(
    "frames",
    [MOVING, MOVING.astype(np.uint8), MOVING * 1.0, MOVING[:, None], MOVING[None, None]],
    ids=["bool", "uint8", "float", "channel", "batch"],
)
def test_frames_are_a_clip_in_grey(frames: Any) -> None:
    made = mask_of(frames)
    assert made.clip is not None
    assert made.clip.frames == 9
    assert made.white == "changed"


def test_files_of_every_kind(tmp_path: Path) -> None:
    Image.fromarray(STILL).save(tmp_path / "still.png")
    np.save(tmp_path / "moving.npy", np.repeat(STILL[None], 9, 0))
    assert mask_of(tmp_path / "still.png").clip is None
    assert mask_of(tmp_path).clip is None  # a folder of one picture
    moving = mask_of(str(tmp_path / "moving.npy"))
    assert moving.clip is not None
    assert moving.clip.frames == 9
    video = mask_of(Made("m.mkv", "ffv1", "gray", 8, 9).at(tmp_path))
    assert video.white is None
    assert video.size == (64, 48)
    assert mask_of(Made("quadmask_0.mkv", "ffv1", "gray", 8, 9).at(tmp_path)).white == "kept"


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((9, 48, 64, 4), np.uint8), r"has shape \(9, 48, 64, 4\), but .* mask\[..., 0\]"),
        (np.zeros((9, 48, 64, 3), np.uint8), "It has channels: pass one of them"),
        (np.zeros((48, 64, 3), np.uint8), "It has channels"),
        (np.zeros(5, bool), "frames × height × width, or height × width for all frames"),
        (np.zeros((0, 48, 64), bool), "has no frames or no pixels"),
        (np.full((48, 64), 2.0), "floats from 2 to 2"),
        (np.full((48, 64), np.nan), "NaN"),
        (np.array(["a"]), "is not bool, integer or float"),
        (3, "must be a path, a picture, an array or a Video, not int"),
        ([STILL, STILL[1:]], "cannot be converted to NumPy .* Pass an array of numbers"),
        ("", "The mask's path is empty"),
        ("nowhere.png", "No mask at nowhere.png"),
    ],
    ids=str,
)
def test_what_is_no_mask_is_refused_in_one_line(mask: Any, message: str) -> None:
    with pytest.raises(RequestError, match=message) as error:
        mask_of(mask)
    assert "\n" not in str(error.value)


def test_damaged_array_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.npy").write_bytes(b"\x93NUMPY\x01")
    with pytest.raises(RequestError, match="cannot be read as an array"):
        mask_of(tmp_path / "m.npy")


def test_mask_of_other_proportions_names_the_nearest_size() -> None:
    message = error_of(np.repeat(STILL[None, :, :32], 9, 0))
    assert "The mask is 32x48, but the clip is 64x48" in message
    assert "Nearest: 32x24" in message
    Request.of("a fox", "1.5-5b-inp", video=CLIP, mask=STILL[::2, ::2])  # of the same proportions


@pytest.mark.parametrize("count", [9, 13])
def test_frames_count_as_those_of_the_clip_or_of_the_request(count: int) -> None:
    clip = np.zeros((13, 48, 64, 3), np.uint8)
    mask = np.repeat(STILL[None], count, 0)
    Request.of("a fox", "1.5-5b-inp", video=clip, mask=mask, num_frames=9)


def test_mask_of_another_length_is_refused() -> None:
    message = error_of(np.repeat(STILL[None], 7, 0))
    assert "has 7 frames, but the clip has 9 frames" in message
    assert "1 frame for all, or of 9 frames" in message


def test_files_of_other_lengths_are_refused(tmp_path: Path) -> None:
    clip = clip_of(Made("clip.mkv", "ffv1", rate=24, count=48).at(tmp_path))
    part = Excerpt(clip, 0, 8, 13, legal=(5, 9, 13))

    def mask(rate: int, count: int) -> Any:
        return mask_of(Made("mask.mkv", "ffv1", "gray", rate, count).at(tmp_path))

    with pytest.raises(RequestError, match=r"lasts 5\.00 s, but .* lasts 2\.00 s"):
        check_mask(mask(12, 60), part)
    check_mask(mask(12, 24), part)
    longer = Excerpt(replace(clip, seconds=None), 0, 8, 13, legal=(5, 9, 13))
    with pytest.raises(RequestError, match=r"only 8 of the 13 frames .* or --num-frames 9\."):
        check_mask(mask(12, 12), longer)


@pytest.mark.parametrize(("count", "start", "first"), [(17, 0.0, 0), (17, 0.5, 6), (9, 0.5, 0)])
def test_a_file_goes_one_for_one_with_frames_that_have_no_rate(
    tmp_path: Path, count: int, start: float, first: int
) -> None:
    """As a canvas saves the mask of an array, at 8 frames per second."""
    own = clip_of(Made("mask.mkv", "ffv1", "gray", 8, count).at(tmp_path))
    clip = clip_of(np.zeros((17, 48, 64, 3), np.uint8))
    found = times_of(own, Excerpt(clip, start, 12, 9))
    assert [time * 8 for time in found.times] == list(range(first, first + 9))


@pytest.mark.parametrize("rate", [10, 30])
def test_a_file_of_another_rate_goes_one_for_one_if_it_has_as_many_frames(
    tmp_path: Path, rate: int
) -> None:
    """As tools write masks that do not look at the clip's rate."""
    own = clip_of(Made("mask.mkv", "ffv1", "gray", rate, 48).at(tmp_path))
    clip = clip_of(Made("clip.mkv", "ffv1", rate=24, count=48).at(tmp_path))
    found = times_of(own, Excerpt(clip.without_frames(), 0.5, 8, 9))  # as the clip is read first
    assert [time * rate for time in found.times] == list(range(12, 12 + 27, 3))


def test_a_mask_needs_a_video_and_a_model_that_takes_one() -> None:
    with pytest.raises(RequestError, match="mask says which part"):
        Request.of("a fox", "1.5-5b-inp", mask=STILL)
    with pytest.raises(RequestError, match=r"5b takes no mask\. For inpainting: .*5b-inp"):
        Request.of("a fox", "5b", video=CLIP, mask=STILL)
    with pytest.raises(RequestError, match="void needs a mask"):
        Request.of("a fox", "void", video=CLIP)
    with pytest.raises(RequestError, match=r"of an image. Give one, or leave out paste_back"):
        Request.of("a fox", "1.5-5b-inp", video=CLIP, paste_back=True)


def levels(pixels: np.ndarray[Any, Any], **options: Any) -> Any:
    given: dict[str, Any] = {"kinds": False, "white": None, "invert": False} | options
    return in_levels(pixels.copy(), given.pop("colour", 0.0), "m.png", **given)


GREY = np.repeat(STILL[None].astype(np.uint8) * 255, 3, 0)


def test_white_is_made_new_unless_it_is_inverted() -> None:
    plain, inverted = levels(GREY), levels(GREY, invert=True)
    assert (plain.white, inverted.white) == ("changed", "kept")
    assert ((plain.pixels == REMOVED) == (GREY == 255)).all()
    assert ((inverted.pixels == REMOVED) == (GREY == 0)).all()
    assert plain.share == pytest.approx((GREY == 255).mean())


def quad() -> np.ndarray[Any, Any]:
    """A mask as VOID's authors make them, with the noise of compression."""
    mask = np.full((3, 48, 64), 255, np.int16)
    mask[:, 10:30, 10:30], mask[:, 25:40, 20:50], mask[:, 25:30, 20:30] = 0, 127, 63
    noise = np.random.default_rng(0).integers(-2, 3, mask.shape)
    return (mask + noise).clip(0, 255).astype(np.uint8)


def test_quad_masks_are_read_in_the_authors_values() -> None:
    found = levels(quad(), kinds=True)
    assert found.white == "kept"
    assert found.pixels[0, 12, 12] == REMOVED
    assert found.pixels[0, 27, 25] == OVERLAP
    assert found.pixels[0, 35, 40] == AFFECTED
    assert found.pixels[0, 0, 0] == KEPT
    assert np.unique(found.pixels).tolist() == [KEPT, AFFECTED, OVERLAP, REMOVED]
    same = levels(255 - quad(), kinds=True, white="changed")
    assert (same.pixels == found.pixels).all()


@pytest.mark.parametrize("white", [255, 200])
@pytest.mark.parametrize("radius", [2, 24])
def test_soft_and_grey_masks_are_no_quad_masks(white: int, radius: int) -> None:
    large = Image.fromarray(GREY[0] // 255 * np.uint8(white)).resize((512, 384))
    soft = np.asarray(large.filter(ImageFilter.GaussianBlur(radius)))
    found = levels(soft[None], kinds=True)
    assert found.white == "changed"
    assert found.pixels[0, 160, 240] in (REMOVED, OVERLAP)
    assert found.pixels[0, 0, 0] == KEPT
    both = np.where(GREY, np.uint8(AFFECTED), np.uint8(KEPT))
    both[:, :5, :5] = REMOVED
    assert (levels(both, kinds=True).pixels == both).all()


@pytest.mark.parametrize(
    ("pixels", "options", "message"),
    [
        (
            np.zeros_like(GREY),
            {},
            "selects none of the pixels of the 3 frames of 64x48 .*--invert-mask",
        ),
        (np.full_like(GREY, 255), {}, "selects all pixels of the 3 frames of 64x48"),
        (GREY // 85, {}, r"largest value of m\.png is 3, and white is 255"),
        (np.full_like(GREY, 255), {"kinds": True, "white": "kept"}, "selects none"),
        (GREY // 2, {"kinds": True}, "only grey ones, which are affected.* removed in white"),
        (np.random.default_rng(0).integers(0, 256, GREY.shape, np.uint8), {}, "not a mask: 6"),
        (GREY, {"colour": 60.0}, "a picture, not a mask: its pixels have colours"),
    ],
    ids=["empty", "full", "numbers", "empty quad", "grey", "photo", "colours"],
)
def test_masks_without_a_meaning_are_refused(
    pixels: np.ndarray[Any, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError, match=message) as error:
        levels(pixels, **options)
    assert "\n" not in str(error.value)
