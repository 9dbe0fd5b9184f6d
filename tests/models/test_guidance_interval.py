"""The guidance interval: its steps, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

import cogmagic
from cogmagic import Request, RequestError
from cogmagic._models.guidance_interval import guided_steps


@pytest.mark.parametrize(
    ("steps", "begin", "end", "inside"),
    [
        (50, 0.0, 1.0, (0, 50)),
        (50, 0.0, 0.5, (0, 25)),
        (50, 0.3, 0.7, (15, 35)),
        (10, 0.1 + 0.2, 0.7, (3, 7)),  # 0.30000000000000004
        (30, 0.3333, 0.6667, (10, 20)),
        (3, 0.5, 1.0, (2, 3)),
        (1, 0.0, 0.5, (0, 1)),
        (1000, 0.999, 1.0, (999, 1000)),
    ],
)
def test_a_step_is_inside_where_its_begin_is(
    steps: int, begin: float, end: float, inside: tuple[int, int]
) -> None:
    assert guided_steps(steps, begin, end) == range(*inside)


def test_nearest_intervals_that_errors_name_hold_that_step_alone() -> None:
    for steps in (1, 3, 7, 30, 49, 999):
        for i in range(steps):
            begin, end = (float(f"{share:g}") for share in (i / steps, (i + 1) / steps))
            assert guided_steps(steps, begin, end) == range(i, i + 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"begin": 0.6, "end": 0.4}, "Type guidance_from=0.4, guidance_until=0.6."),
        ({"begin": 0.6, "end": 0.4}, "guidance_from=0.6 is after guidance_until=0.4."),
        ({"begin": 0.5, "steps": 1}, "leaves the only step without guidance. Nearest"),
        ({"begin": 10**400}, "guidance_from is inf, but must be"),
        ({"begin": 0.5, "end": 0.5}, "none of the 50 steps. Nearest: guidance_from=0.5, gu"),
        ({"begin": 0.41, "end": 0.415}, "Nearest: guidance_from=0.4, guidance_until=0.42."),
        ({"begin": 1}, "Nearest: guidance_from=0.98, guidance_until=1."),
        ({"end": 0}, "For no guidance: guidance_scale=1."),
        (
            {"end": 25},
            "must be a share of the steps, 0 to 1. For 25 of 50 steps: guidance_until=0.5.",
        ),
        (
            {"end": 1.5},
            "guidance_until is 1.5, but must be a share of the steps, 0 to 1. Nearest: g",
        ),
        ({"begin": -0.1}, "Nearest: guidance_from=0."),
        ({"begin": 1.2}, "Leave out guidance_from."),
        ({"begin": float("nan")}, "guidance_from is nan, but must be"),
        ({"end": float("inf")}, "guidance_until is inf, but must be"),
        ({"end": "0.5"}, "guidance_until='0.5' is not a number."),
        ({"end": True}, "guidance_until=True is not a number."),
        ({"end": 0.5, "guidance_scale": 1}, "Leave out guidance_from and guidance_until."),
        ({"end": 0.5, "preset": "tdm", "model": "2b"}, "Leave out guidance_from and guidance_u"),
    ],
)
def test_anything_else_is_refused_with_what_to_type(options: dict[str, Any], message: str) -> None:
    names = {"begin": "guidance_from", "end": "guidance_until"}
    options = {"model": "5b"} | {names.get(name, name): v for name, v in options.items()}
    with pytest.raises(RequestError) as raised:
        Request.of("a fox", **options)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_changed_request_is_checked_again() -> None:
    from dataclasses import replace

    request = Request.of("a fox", "5b", guidance_until=0.5)
    assert request.partly_guided
    assert not Request.of("a fox", "5b").partly_guided
    assert not request.unguided().partly_guided
    with pytest.raises(RequestError, match="Leave out"):
        replace(request, guidance_scale=1.0).checked()
    assert replace(request, num_inference_steps=1).checked().guided_steps == range(1)


def test_a_column_sets_it_for_a_row(cwd: Any) -> None:
    from cogmagic._api.batch.columns import column_name, text_value

    assert column_name("guidance-until") == "guidance_until"
    assert text_value("guidance_from", " 0.25 ") == 0.25
    rows = [{"prompt": "a fox", "guidance_until": 0.5}, {"prompt": "a fox", "guidance_until": 2}]
    with pytest.raises(RequestError, match=r"Row 2: .*For 2 of 20 steps: guidance_until=0.1"):
        list(cogmagic.generate_many(rows))
