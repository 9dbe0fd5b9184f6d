"""The options beside an input: a video's frames, strength and start, and the fit."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cogmagic import Request, RequestError
from cogmagic._api.batch.rows import BatchSource, rows_of
from cogmagic._models.fitting_remarks import cut_text, stretch_warning
from cogmagic._models.input_options import steps_at
from cogmagic._models.inputs import ANY_INPUT

CLIP = np.zeros((21, 48, 64, 3), np.uint8)
PICTURE = Image.new("RGB", (64, 48))


def of(model: str = "2b", **options: Any) -> Request:
    return Request.of("a fox", model, **options)


def test_defaults_with_and_without_a_video() -> None:
    plain, video, image = of(), of(video=CLIP), of("5b-i2v", image=PICTURE)
    assert (plain.strength, plain.start, plain.fit, plain.denoising_steps) == (1, 0, "stretch", 50)
    assert (video.strength, video.start, video.fit, video.denoising_steps) == (0.8, 0, "crop", 40)
    assert (image.strength, image.fit) == (1, "stretch")
    assert of("5b-i2v", image=PICTURE, fit="pad").fit == "pad"
    assert video.checked() == video


@pytest.mark.parametrize(
    ("options", "frames"),
    [
        ({}, 17),  # of 21, the largest number that the model makes
        ({"num_frames": 9}, 9),
        ({"start": 1}, 9),  # 8 frames a second are left out
        ({"start": 1.5, "num_frames": 9}, 9),
    ],
)
def test_as_many_frames_as_the_video_has(options: dict[str, Any], frames: int) -> None:
    assert of(video=CLIP, **options).num_frames == frames


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_frames": 49}, r"21 frames.*49 are needed.*num_frames=17"),
        ({"num_frames": 12}, r"cannot make 12 frames .*num_frames=9 or 17"),
        ({"start": 2}, r"5 frames.*at least 9 frames"),
        ({"start": 3}, r"The clip lasts 2.62 s, so start=3 is beyond its end"),
        ({"start": -1}, r"start is -1, but must be seconds from 0 to 10\^8"),
        ({"start": np.ones(2)}, r"start=array.* is not a number"),
        ({"start": ""}, r"start='' is not a number"),
        ({"start": 10**400}, r"start is inf, but must be"),
        ({"start": "soon"}, r"start='soon' is not a number"),
        ({"strength": 0}, r"strength is 0, but must be above 0 .* and at most 1"),
        ({"strength": 1.01}, r"strength is 1.01, but"),
        ({"strength": -0.5}, r"strength is -0.5, but"),
        ({"strength": float("nan")}, r"strength is nan, but"),
        ({"strength": 1.0000001}, r"strength is 1.0000001, but"),
        ({"strength": -(10**400)}, r"strength is -inf, but"),
        ({"strength": 0.0199999}, r"strength of 0.0199999 leaves none of 50 steps"),
        ({"strength": True}, r"strength=True is not a number"),
        ({"strength": "high"}, r"strength='high' is not a number"),
        ({"strength": 0.01}, r"strength of 0.01 leaves none of 50 steps.*strength=0.02"),
        ({"strength": 0.1, "steps": 3}, r"leaves none of 3 steps.*strength=0.334"),
        ({"steps": 1}, r"strength of 0.8 leaves none of 1 step.*strength=1\."),
        ({"fit": "zoom"}, r"Unknown fit 'zoom'. Did you mean 'crop'\?"),
        ({"fit": "letterbox"}, r"Did you mean 'pad'\? Choose from: crop, pad, stretch"),
        ({"fit": 3}, r"fit=3 is not text"),
    ],
)
def test_wrong_value_is_refused_with_the_nearest(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message) as error:
        of(video=CLIP, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("2b", {"strength": 0.5}, "Give one, video=PATH"),
        ("2b", {"start": 2}, "Give one, video=PATH"),
        ("2b", {"fit": "crop"}, "video=PATH or image=PATH"),
        ("5b-i2v", {"image": PICTURE, "strength": 0.5}, "leave out strength"),
        ("5b-i2v", {"image": PICTURE, "video": CLIP}, "takes no video. For video-to-video"),
        ("5b-i2v", {"video": CLIP}, "5b-i2v takes no video. For video-to-video"),
        ("5b", {"video": CLIP, "image": PICTURE}, "takes no image. For image-to-video"),
        ("2b", {"video": "nowhere.mp4"}, "nowhere.mp4"),
        ("2b", {"video": 3}, "not int"),
        ("2b", {"video": CLIP[:1]}, "1 frame"),
    ],
)
def test_option_without_its_input_or_for_another_model(
    model: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        of(model, **options)


@pytest.mark.parametrize("steps", [*range(1, 60), 100, 333, 999, 1000])
def test_nearest_strength_leaves_a_step_and_less_leaves_none(steps: int) -> None:
    with pytest.raises(RequestError, match="strength=") as error:
        of(video=CLIP, steps=steps, strength=0.9 / steps)
    nearest = float(str(error.value).split("strength=")[1].rstrip("."))
    assert of(video=CLIP, steps=steps, strength=nearest).denoising_steps >= 1
    assert steps_at(steps, nearest - 0.0011) == 0


def test_fit_needs_no_picture_in_plans_and_rows() -> None:
    assert of("5b-i2v", image=ANY_INPUT, fit="crop").fit == "crop"
    made = rows_of(
        BatchSource([{"prompt": "a fox", "image": PICTURE, "fit": "pad"}], model="5b-i2v")
    )
    assert made[0].complete().fit == "pad"


def test_guidance_interval_is_a_share_of_the_steps_that_run() -> None:
    request = of(video=CLIP, strength=0.4, guidance_until=0.5)
    assert request.denoising_steps == 20
    assert request.guided_steps == range(10)
    assert request.partly_guided
    assert not of(video=CLIP, strength=0.4).partly_guided


def test_replaced_values_are_checked() -> None:
    request = of(video=CLIP)
    with pytest.raises(RequestError, match="strength is 2"):
        dataclasses.replace(request, strength=2).checked()
    with pytest.raises(RequestError, match="for a video to begin from"):
        dataclasses.replace(request, inputs={}).checked()
    with pytest.raises(RequestError, match="49 are needed"):
        dataclasses.replace(request, num_frames=49).checked()


def test_what_fitting_does_is_said() -> None:
    wide = np.zeros((9, 90, 160, 3), np.uint8)
    square = Image.new("RGB", (640, 640))
    assert cut_text(of(video=wide)) == "crop: 16 % of the width cut off"
    assert cut_text(of(video=wide, fit="pad")) == stretch_warning(of(video=wide, fit="pad")) == ""
    stretched = of("5b-i2v", image=square)
    assert cut_text(stretched) == ""
    assert stretch_warning(stretched) == (
        "the first frame is 640x640 and was stretched to 720x480; --fit crop keeps its proportions"
    )
    same = of("5b-i2v", image=Image.new("RGB", (1440, 960)))
    assert stretch_warning(same) == ""
    ends = of("tiny-inp", image=square, last_image=Image.new("RGB", (320, 96)))
    assert stretch_warning(ends).startswith("the last frame is 320x96 and was stretched to 96x96")
    assert cut_text(of("5b-i2v", image=square, fit="crop")) == "crop: 33 % of the height cut off"
    assert cut_text(of()) == stretch_warning(of()) == ""
