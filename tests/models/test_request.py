"""Rules of the family: each error names the nearest legal value."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import cogmagic
from cogmagic import Machine, Request, RequestError
from cogmagic._models.catalog import MODELS, catalogued
from cogmagic._models.inputs import placeholders
from cogmagic._spelling import as_python

BY_NAME = {m.name: m for m in MODELS}
IMAGE = Image.new("RGB", (64, 48), "white")


def request(model: str, **options: Any) -> Request:
    if BY_NAME[model].task == "i2v":
        options.setdefault("image", IMAGE)
    return Request.of("a fox in the snow", BY_NAME[model], **options)


@pytest.mark.parametrize(
    ("model", "size", "frames", "fps", "dtype", "scheduler", "dynamic"),
    [
        ("2b", "720x480", 49, 8, "float16", "ddim", False),
        ("5b", "720x480", 49, 8, "bfloat16", "dpm", True),
        ("5b-i2v", "720x480", 49, 8, "bfloat16", "dpm", True),
        ("1.5-5b", "1360x768", 81, 16, "bfloat16", "dpm", True),
        ("1.5-5b-i2v", "1360x768", 81, 16, "bfloat16", "dpm", True),
    ],
)
def test_defaults_are_those_of_the_authors(
    model: str, size: str, frames: int, fps: int, dtype: str, scheduler: str, dynamic: bool
) -> None:
    r = request(model)
    assert (r.size, r.num_frames, r.fps, r.model.dtype) == (size, frames, fps, dtype)
    assert (r.scheduler, r.use_dynamic_cfg) == (scheduler, dynamic)
    assert (r.num_inference_steps, r.guidance_scale, r.model.max_tokens) == (50, 6.0, 226)


def test_dynamic_guidance_needs_the_dpm_scheduler() -> None:
    assert not request("5b", scheduler="ddim").use_dynamic_cfg
    assert not request("2b", scheduler="dpm").use_dynamic_cfg


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("5b", {"num_frames": 50}, "8N+1, 9 to 49). Nearest: --num-frames 49."),
        ("5b", {"num_frames": 44}, "Nearest: --num-frames 41 or 49."),
        ("5b", {"num_frames": 0}, "Nearest: --num-frames 9."),
        ("5b-i2v", {"num_frames": 41}, "49 only). Nearest: --num-frames 49."),
        ("1.5-5b", {"num_frames": 49 + 8}, "Nearest: --num-frames 49 or 65."),
        ("1.5-5b", {"num_frames": 200}, "Nearest: --num-frames 161."),
        ("5b", {"width": 724, "height": 480}, "Nearest: --size 720x480"),
        ("5b", {"width": 4000, "height": 4000}, "Nearest: --size 1360x768"),
        ("5b-i2v", {"width": 480, "height": 720}, "makes 720x480 only"),
        ("1.5-5b-i2v", {"width": 1360, "height": 760}, "Nearest: --size 1360x768"),
        ("5b", {"width": 720}, "Give both sides"),
        ("5b", {"num_inference_steps": 0}, "must be 1 to 1000"),
        ("5b", {"guidance_scale": float("nan")}, "must be 1 (no guidance) to 20"),
        ("5b", {"seed": -1}, "For a random one, leave it out"),
        ("5b", {"fps": 0}, "must be 1 to 120"),
        ("5b", {"scheduler": "dmp"}, "Did you mean 'dpm'?"),
        ("5b", {"dtype": "bf16"}, "Choose from: float16, bfloat16, float32"),
        ("5b", {"num_frames": 49.0}, "num_frames=49.0 is not a whole number"),
        ("5b", {"seed": 1.5}, "is not a whole number"),
        ("5b", {"num_inference_steps": True}, "is not a whole number"),
        ("5b-i2v", {"image": "~nobody-at-all/x.png"}, "not a usable path"),
        ("5b-i2v", {"image": np.zeros((0, 4, 3), np.uint8)}, "no pixels: it is 4×0"),
        ("5b", {"image": IMAGE}, "--model 5b-i2v or 1.5-5b-i2v."),
        ("tiny", {"image": IMAGE}, "--model tiny-i2v, 5b-i2v or 1.5-5b-i2v."),
        ("5b-i2v", {"image": "nowhere.png"}, "No image at nowhere.png"),
        ("5b-i2v", {"image": 3}, "not int"),
    ],
)
def test_invalid_option_is_one_line_with_the_nearest_value(
    model: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError) as error:
        request(model, **options)
    assert as_python(message) in str(error.value)
    assert "\n" not in str(error.value)


def test_unknown_option_from_python_names_the_nearest() -> None:
    import cogmagic

    with pytest.raises(RequestError, match="Did you mean 'num_frames'"):
        cogmagic.generate("a fox", num_frame=9)
    with pytest.raises(RequestError, match="must be text, not NoneType"):
        cogmagic.generate(None)  # type: ignore[arg-type]


def test_image_to_video_model_requires_an_image() -> None:
    with pytest.raises(RequestError, match="image=PATH"):
        Request.of("a fox", BY_NAME["5b-i2v"])


def test_image_may_be_a_path_bytes_a_pil_image_or_an_array(tmp_path: Path) -> None:
    IMAGE.save(tmp_path / "frame.png")
    path = tmp_path / "frame.png"
    for image in (IMAGE, path, str(path), path.read_bytes(), np.zeros((48, 64, 3), np.uint8)):
        assert request("5b-i2v", image=image).image.size == (64, 48)
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(RequestError, match="not an image"):
        request("5b-i2v", image=str(tmp_path / "text.png"))


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_empty_prompt_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="empty"):
        Request.of(text, BY_NAME["tiny"])


def test_seed_is_random_unless_given() -> None:
    assert request("5b").seed != request("5b").seed
    assert request("5b", seed=2**64 - 1).seed == 2**64 - 1


def test_catalogue_knows_the_hub_ids_of_both_organisations() -> None:
    for name in ("5b", "zai-org/CogVideoX-5b", "THUDM/CogVideoX-5b", "thudm/cogvideox-5B"):
        assert catalogued(name) is BY_NAME["5b"]
    assert catalogued("6b") is None


@given(st.sampled_from(MODELS), st.integers(-10, 5000), st.integers(-10, 5000))
def test_suggested_size_is_accepted(model: Any, width: int, height: int) -> None:
    """What an error offers must itself be accepted."""
    try:
        Request.of("x", model, width=width, height=height, **_inputs(model))
    except RequestError as error:
        words = str(error).partition("--size ")[2].split()
        if words:
            w, h = (int(n) for n in words[0].split("x"))
            assert Request.of("x", model, width=w, height=h, **_inputs(model)).width == w


@given(st.sampled_from(MODELS), st.integers(-100, 1000))
def test_suggested_frame_counts_are_accepted(model: Any, count: int) -> None:
    try:
        Request.of("x", model, num_frames=count, **_inputs(model))
    except RequestError as error:
        offered = str(error).partition("num_frames=")[2].rstrip(".").split(" or ")
        for n in offered:
            assert Request.of("x", model, num_frames=int(n), **_inputs(model))


def _inputs(model: Any) -> dict[str, Any]:
    return placeholders(model.task, {})


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"width": "720"}, "width='720' is not a whole number."),
        ({"height": 480.0}, "height=480.0 is not a whole number."),
        ({"num_frames": True}, "num_frames=True is not a whole number."),
        ({"guidance_scale": "6"}, "guidance_scale='6' is not a number."),
        ({"dtype": 5}, "dtype=5 is not text. Choose from: float16, bfloat16, float32."),
    ],
)
def test_option_of_a_wrong_type_is_refused(option: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError) as error:
        cogmagic.plan(model="5b", machine=Machine.of("RTX 4090"), **option)
    assert str(error.value) == message


def test_empty_prompt_is_refused_however_it_came_about() -> None:
    with pytest.raises(RequestError, match="The prompt is empty"):
        Request.of(" \n", BY_NAME["5b"])
    with pytest.raises(RequestError, match="The prompt is empty"):
        replace(request("5b"), prompt=" \n").checked()


def test_request_is_shown_and_compared_without_its_picture() -> None:
    with_image = request("5b-i2v", seed=1)
    assert "inputs" not in repr(with_image)
    assert with_image == request("5b-i2v", seed=1, image=Image.new("RGB", (64, 48), "black"))


ODD: dict[str, Any] = {
    "negative_prompt": "blurry",
    "width": 640,
    "height": 384,
    "num_frames": 25,
    "num_inference_steps": 7,
    "guidance_scale": 20,
    "seed": 2**64 - 1,
    "scheduler": "ddim",
    "fps": 120,
    "dtype": "float16",
    "truncate": True,
}


def test_checked_request_is_the_same_request() -> None:
    odd = request("5b", **ODD)
    assert odd.checked() == odd
    assert {name: getattr(odd, name) for name in ODD} == ODD
    assert request("5b", guidance_scale=1).checked().guidance_scale == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"negative_prompt": 5}, "The negative prompt must be text, not int"),
        ({"width": 641}, "Nearest: size="),
        ({"num_frames": 26}, "Nearest: num_frames=25"),
        ({"num_inference_steps": 0}, "Nearest: num_inference_steps=1."),
        ({"guidance_scale": 20.5}, "guidance_scale is 20.5, but must be 1 (no guidance) to 20;"),
        ({"seed": "1"}, "seed='1' is not a whole number."),
        ({"seed": -1}, "seed is -1, but must be 0 to 2^64 - 1. For a random one, leave it out."),
        ({"seed": 2**64}, f"Nearest: seed={2**64 - 1}."),
        ({"scheduler": "euler"}, "Unknown scheduler 'euler'"),
        ({"fps": 121}, "fps is 121, but must be 1 to 120. Nearest: fps=120."),
        ({"dtype": "float8"}, "Unknown dtype 'float8'"),
    ],
)
def test_request_changed_by_replace_is_checked_again(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError) as refusal:
        replace(request("5b"), **changes).checked()
    assert message in str(refusal.value)
