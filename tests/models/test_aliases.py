"""Aliases of a request's options, models by name, and inputs as a registry."""

from __future__ import annotations

from dataclasses import replace
from inspect import signature
from typing import Any

import pytest

from cogmagic import Request, RequestError
from cogmagic._models.aliases import ALIASES, full_names, parse_size
from cogmagic._models.catalog import MODELS
from cogmagic._models.inputs import ANY_INPUT, INPUTS, Input, placeholders, required_inputs
from cogmagic._models.request import known_options


def test_request_takes_a_model_by_name() -> None:
    assert Request.of("a fox", "5b").model.name == "5b"
    with pytest.raises(RequestError, match="Did you mean '5b'"):
        Request.of("a fox", "5bb")


@pytest.mark.parametrize("size", ["720x480", "720×480", " 720 X 480 ", (720, 480), [720, 480]])
def test_aliases_mean_their_full_names(size: Any) -> None:
    short = Request.of("a fox", "5b", size=size, frames=41, steps=7, seed=1)
    full = {"width": 720, "height": 480, "num_frames": 41, "num_inference_steps": 7}
    assert short == Request.of("a fox", "5b", seed=1, **full)  # type: ignore[arg-type]
    assert known_options({"size": size, "frames": 41, "steps": 7}) == full


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"steps": 5, "num_inference_steps": 6}, ("steps=5", "num_inference_steps=6")),
        ({"frames": 9, "num_frames": 9}, ("frames=9", "num_frames=9")),
        ({"size": "96x96", "height": 96}, ("size='96x96'", "height=96")),
    ],
)
def test_alias_beside_its_full_name_is_refused(options: Any, names: tuple[str, str]) -> None:
    with pytest.raises(RequestError) as refusal:
        Request.of("a fox", "tiny", **options)
    assert all(name in str(refusal.value) for name in names)


def test_option_that_is_none_counts_as_left_out() -> None:
    assert full_names({"steps": None, "num_inference_steps": 6}) == {"num_inference_steps": 6}
    assert full_names({"steps": 6, "num_inference_steps": None}) == {"num_inference_steps": 6}


@pytest.mark.parametrize("size", ["720", "720x", "axb", "1x2x3", 720, (720,), (7, 4.5), (True, 1)])
def test_malformed_size_is_refused(size: object) -> None:
    with pytest.raises(RequestError, match="is not a size like 720x480"):
        parse_size(size)


@pytest.mark.parametrize("alias", ALIASES)
def test_aliases_stand_for_options_of_a_request(alias: str) -> None:
    assert {*ALIASES[alias]} <= {*signature(Request.of).parameters}


def test_unknown_options_name_the_nearest() -> None:
    with pytest.raises(RequestError, match="Did you mean 'steps'"):
        Request.of("a fox", "tiny", step=5)


def test_only_image_to_video_models_take_an_image() -> None:
    need_one = {m.name for m in MODELS if "image" in required_inputs(m.task, {})}
    assert need_one == {"tiny-i2v", "5b-i2v", "1.5-5b-i2v"}
    assert all(m.takes("image") == (m.task in ("i2v", "inp")) for m in MODELS)
    assert placeholders("i2v", {}) == {"image": ANY_INPUT}
    assert placeholders("i2v", {"image": "x.png"}) == placeholders("t2v", {}) == {}
    assert Request.of("a fox", "5b-i2v", image=ANY_INPUT).image is None


def test_text_to_video_models_take_a_video_and_need_none() -> None:
    takers = {m.name for m in MODELS if m.takes("video") and not m.inpaints}
    assert takers == {m.name for m in MODELS if m.task == "t2v"} == {"tiny", "2b", "5b", "1.5-5b"}
    assert Request.of("a fox", "2b").video is None


def test_one_registry_entry_adds_an_input(monkeypatch: pytest.MonkeyPatch) -> None:
    path = Input(("path",), "a path", "motion", "--path PATH", str.upper, required_by=("path",))
    monkeypatch.setitem(INPUTS, "path", path)
    model = replace(MODELS[0], task="path")  # type: ignore[arg-type]
    assert model.takes("path")
    assert Request.of("a fox", model, path="path.png").inputs == {"path": "PATH.PNG"}
    with pytest.raises(RequestError, match="tiny needs a path: "):
        Request.of("a fox", model)
    with pytest.raises(RequestError, match=r"5b takes no path\. For motion"):
        Request.of("a fox", "5b", path="path.png")
