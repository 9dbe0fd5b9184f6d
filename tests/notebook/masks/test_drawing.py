"""Keyframes and the shapes that they move."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from cogmagic._models.masks.levels import AFFECTED, KEPT, REMOVED
from cogmagic._notebook.masks.drawing import Drawing, Move, Shape

SQUARE = Shape(REMOVED, ((10, 10), (30, 10), (30, 30), (10, 30)))
DAB = Shape(AFFECTED, ((20.0, 20.0),), radius=5)


def points(drawing: Drawing, frame: int) -> list[tuple[float, float]]:
    move = drawing.move_at(frame)
    return [p for shape in drawing.shapes for p in shape.moved(move).points]


def test_points_go_along_straight_lines_between_keyframes() -> None:
    drawing = Drawing().drawn(SQUARE, 4).moved(12, Move(2.0, 6.0, -3.0)).keyed(20)
    first, last = points(drawing, 4), points(drawing, 12)
    assert first == list(SQUARE.points)
    assert last == [(2 * x + 6, 2 * y - 3) for x, y in SQUARE.points]
    for frame in range(4, 13):
        share = (frame - 4) / 8
        for (x, y), (x0, y0), (x1, y1) in zip(points(drawing, frame), first, last, strict=True):
            assert (x, y) == pytest.approx((x0 + share * (x1 - x0), y0 + share * (y1 - y0)))
    # At rest before the first keyframe, after the last one, and between two equal ones.
    assert points(drawing, 0) == first
    assert points(drawing, 15) == points(drawing, 99) == last


def test_a_shape_is_where_it_was_drawn_whatever_the_keyframes() -> None:
    drawing = Drawing().drawn(SQUARE, 0).moved(10, Move(1.5, 20, 8)).drawn(DAB, 5)
    drawn = drawing.shapes[-1].moved(drawing.move_at(5))
    assert drawn.points[0] == pytest.approx(DAB.points[0])
    assert drawn.radius == pytest.approx(DAB.radius)
    assert [k.frame for k in drawing.keyframes] == [0, 10]


def test_the_first_shape_makes_a_keyframe_and_the_only_one_remains() -> None:
    drawing = Drawing().drawn(DAB, 7)
    assert [k.frame for k in drawing.keyframes] == [7]
    assert drawing.unkeyed(7) == drawing
    assert [k.frame for k in drawing.keyed(3).unkeyed(7).keyframes] == [3]


def test_a_move_is_undone() -> None:
    move = Move(1.7, -4, 9)
    back = move.then(move.undone())
    assert (back.scale, back.dx, back.dy) == pytest.approx((1, 0, 0))


def test_the_box_has_what_is_painted_and_nothing_erased() -> None:
    assert Drawing().box_at(0) is None
    eraser = Shape(KEPT, ((90.0, 90.0),), radius=9)
    drawing = Drawing().drawn(SQUARE, 0).drawn(DAB, 0).drawn(eraser, 0).moved(5, Move(1, 100, 0))
    assert drawing.box_at(0) == (10, 10, 30, 30)
    assert drawing.box_at(5) == (110, 10, 130, 30)


def test_json_gives_the_same_drawing_to_the_last_bit() -> None:
    drawing = Drawing().drawn(SQUARE, 0).moved(10, Move(1 / 3, math.pi, -7)).drawn(DAB, 3)
    assert Drawing.of_json(json.loads(json.dumps(drawing.as_json()))) == drawing


@pytest.mark.parametrize(
    "numbers",
    [
        [],
        [255, 3],
        [255, 3, 1],
        [77, 3, 1, 1],
        [255, -1, 1, 1],
        [255, 3, 1, math.nan],
        [255, 3, 1, math.inf],
        [255, 3, 1, "2"],
        [255, 3, True, 2],
        [255, 3, 1e7, 2],
        [255, math.nan, 1, 1],
        [255, 3, 10**400, 1],
        [255, 3, *[1] * 50_000],
    ],
)
def test_what_is_no_shape_is_refused(numbers: list[Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Shape.of_json(numbers)
