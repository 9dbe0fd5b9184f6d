"""The options of a clip to extend: what goes with it, and how many frames are shared."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cogmagic import Request, RequestError
from cogmagic._api.batch.rows import BatchSource, rows_of
from cogmagic._models.fitting_remarks import cut_text, stretch_warning
from cogmagic._models.inputs import ANY_INPUT, placeholders

CLIP = np.zeros((5, 48, 64, 3), np.uint8)
PICTURE = Image.new("RGB", (64, 48))


def of(model: str = "5b-i2v", **options: Any) -> Request:
    return Request.of("a fox", model, **options)


def test_clip_takes_the_place_of_the_first_frame() -> None:
    request = of(extend=CLIP)
    assert (request.overlap, request.fit, request.num_frames) == (1, "crop", 49)
    assert request.extend is not None
    assert request.image is None
    assert request.checked() == request
    assert cut_text(request) == "crop: 11 % of the height cut off"
    assert cut_text(of(extend=CLIP, fit="stretch")) == ""
    assert stretch_warning(of(extend=CLIP, fit="stretch")) == ""
    assert of(image=PICTURE).overlap == 0
    assert placeholders("i2v", {}) == {"image": ANY_INPUT}
    assert placeholders("i2v", {"extend": CLIP}) == {}


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("5b", {}, "5b cannot extend a clip. For image-to-video: model=.5b-i2v"),
        ("1.5-5b", {}, "1.5-5b cannot extend .* model=.1.5-5b-i2v. or 5b-i2v"),
        ("5b-i2v", {"image": PICTURE}, "so image cannot be combined with it"),
        ("5b-i2v", {"video": CLIP}, "so video cannot be combined with it"),
        ("5b-i2v", {"strength": 0.5}, "to begin from. Leave out strength"),
        ("5b-i2v", {"start": 1}, "to begin from. Leave out start"),
        ("5b-i2v", {"overlap": 0}, r"overlap is 0, but must be 1 to 5: .*Nearest: overlap=1\."),
        ("5b-i2v", {"overlap": -3}, r"Nearest: overlap=1\."),
        ("5b-i2v", {"overlap": 6}, r"has 5 frames at 8 fps, and 49 are made. Nearest: overlap=5\."),
        ("1.5-5b-i2v", {"overlap": 17, "num_frames": 17, "extend": np.zeros((40, 48, 64, 3), "u1")},
         r"must be 1 to 16: .* has 40 frames at 16 fps, and 17 are made. Nearest: overlap=16\."),
        ("tiny-inp",
         {"overlap": 16, "last_image": PICTURE, "extend": np.zeros((40, 48, 64, 3), "u1")},
         r"must be 1 to 15: .* and 17 are made, of which the last one is given. Nearest"),
        ("5b-i2v", {"overlap": 1.5}, "overlap=1.5 is not a whole number"),
        ("5b-i2v", {"overlap": True}, "overlap=True is not"),
        ("5b-i2v", {"overlap": "2"}, "overlap='2' is not"),
        ("5b-i2v", {"extend": "nowhere.mp4"}, "No clip at nowhere.mp4. Check the path."),
        ("5b-i2v", {"extend": "clip"}, "No clip at clip. Check the path, or the variable's name."),
        ("5b-i2v", {"extend": ""}, "path is empty"),
        ("5b-i2v", {"extend": 3}, "not int"),
        ("5b-i2v", {"extend": CLIP[:1]}, "1 frame: it is a picture"),
        ("1.5-5b-i2v", {"num_frames": 49 + 8}, "cannot make 57 frames .*49 or 65"),
    ],
)  # fmt: skip
def test_wrong_option_is_refused_in_one_line(
    model: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError, match=message) as error:
        of(model, **{"extend": CLIP} | options)
    assert "\n" not in str(error.value)


def test_overlap_needs_a_clip() -> None:
    for inputs in ({"image": PICTURE}, {"image": ANY_INPUT}):
        with pytest.raises(RequestError, match="Give one, extend=PATH, or leave out overlap"):
            of(overlap=2, **inputs)
    with pytest.raises(RequestError, match="for a clip to extend"):
        dataclasses.replace(of(extend=CLIP), inputs={"image": PICTURE}).checked()
    with pytest.raises(RequestError, match="needs a first frame"):
        of()


def rows(prompts: Any, **options: Any) -> Any:
    several = {name: options.pop(name, None) for name in ("seeds", "num_videos")}
    return rows_of(BatchSource(prompts, model="1.5-5b-i2v", options=options, **several))


def test_each_row_extends_the_one_before_with_its_seed() -> None:
    made = rows(["a", "b", "c"], extend=CLIP, seeds=[7, 8], overlap=2, num_frames=17)
    assert [row.after for row in made] == [0, 0, 1, 2, 3, 4]
    assert [row.num_frames for row in made] == [20, 20, 35, 35, 50, 50]
    assert [row.request.seed for row in made] == [7, 8] * 3
    assert len({row.inputs["extend"].digest for row in made}) == 1
    assert [row.after for row in rows(["a"], extend=CLIP, num_videos=3)] == [0, 0, 0]


@pytest.mark.parametrize(
    ("prompts", "options", "message"),
    [
        (["a", {"prompt": "b", "size": "768x768"}], {"extend": CLIP}, "Row 2 has another size"),
        (
            [{"prompt": "a", "fps": 8}, {"prompt": "b", "fps": 16}],
            {"extend": CLIP},
            r"--size 1360x768 and --fps 8\.",
        ),
        ([{"prompt": "a", "extend": "a.mp4"}], {}, "'extend' cannot be a column"),
        ([{"prompt": "a", "overlap": 2}], {"extend": CLIP}, "'overlap' cannot be a column"),
        (["a"], {"extend": CLIP, "overlap": 6}, "Row 1: overlap is 6"),
        (["a"], {"extend": "nowhere.mp4"}, "Row 1: No clip at nowhere.mp4"),
        ([of(extend=CLIP)], {}, "The Request has a clip to extend"),
    ],
)
def test_rows_that_cannot_be_chained(prompts: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        rows(prompts, **options)
