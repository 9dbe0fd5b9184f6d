"""The pixels of shapes, against a computation pixel by pixel."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from cogmagic._models.masks.levels import AFFECTED, KEPT, REMOVED
from cogmagic._notebook.masks.drawing import Drawing, Move, Shape
from cogmagic._notebook.masks.raster import each_raster, raster

SIZE = 41, 29


def within(shape: Shape, x: float, y: float) -> bool:
    """Whether a point is in a shape, by the distance to the stroke or by the angles of corners."""
    pairs = list(zip(shape.points, shape.points[1:] or shape.points, strict=False))
    if shape.radius:
        return min(distance(x, y, *a, *b) for a, b in pairs) <= shape.radius
    ring = zip(shape.points, shape.points[1:] + shape.points[:1], strict=True)
    crossings = 0
    for (x0, y0), (x1, y1) in ring:
        if (y0 <= y) != (y1 <= y) and x0 + (y - y0) * (x1 - x0) / (y1 - y0) <= x:
            crossings += 1
    return crossings % 2 == 1


def distance(x: float, y: float, x0: float, y0: float, x1: float, y1: float) -> float:
    length = math.hypot(x1 - x0, y1 - y0)
    along = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length if length else 0.0
    along = min(max(along, 0.0), length)
    ux, uy = ((x1 - x0) / length, (y1 - y0) / length) if length else (0.0, 0.0)
    return math.hypot(x - x0 - along * ux, y - y0 - along * uy)


def expected(shapes: list[Shape]) -> np.ndarray[Any, Any]:
    result = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    for row, column in np.ndindex(result.shape):
        for shape in shapes:
            if within(shape, column + 0.5, row + 0.5):
                value = max(result[row, column], shape.level) if shape.level else KEPT
                result[row, column] = value
    return result


SHAPES = {
    "a stroke": Shape(REMOVED, ((5.25, 6.5), (20.1, 9.7), (18.4, 22.3)), radius=3.3),
    "a dab": Shape(REMOVED, ((12.0, 12.0),), radius=6),
    "a stroke over the edge": Shape(AFFECTED, ((-8.0, 4.0), (60.0, 35.0)), radius=5.5),
    "a rectangle": Shape(AFFECTED, ((3.2, 4.9), (30.6, 4.9), (30.6, 17.4), (3.2, 17.4))),
    "a star": Shape(REMOVED, ((20.3, 1.1), (30.2, 27.6), (3.4, 10.3), (38.1, 9.8), (9.9, 27.1))),
    "a polygon over the edge": Shape(REMOVED, ((-30.0, -20.0), (70.0, 10.3), (15.2, 60.0))),
    "outside": Shape(REMOVED, ((100.0, 100.0), (130.0, 100.0), (120.0, 150.0))),
}


@pytest.mark.parametrize("name", SHAPES)
def test_pixels_whose_middle_is_inside(name: str) -> None:
    shape = SHAPES[name]
    got = raster(Drawing().drawn(shape, 0), 0, SIZE)
    assert (got == expected([shape])).all()
    assert got.any() == (name != "outside")


def test_the_larger_value_stays_and_the_eraser_takes_both() -> None:
    shapes = [*SHAPES.values(), Shape(KEPT, ((4.0, 14.0), (36.0, 14.0)), radius=4)]
    shapes.append(Shape(AFFECTED, ((20.0, 14.0),), radius=2))
    drawing = Drawing()
    for shape in shapes:
        drawing = drawing.drawn(shape, 0)
    got = raster(drawing, 0, SIZE)
    assert (got == expected(shapes)).all()
    assert set(np.unique(got)) == {KEPT, AFFECTED, REMOVED}


def test_keyframes_move_and_enlarge_the_pixels() -> None:
    stroke = SHAPES["a stroke"]
    drawing = Drawing().drawn(stroke, 0).moved(10, Move(1.4, 5, -2))
    half = Move(1.2, 2.5, -1)
    assert (raster(drawing, 5, SIZE) == expected([stroke.moved(half)])).all()


def test_zoom_is_a_scale_of_the_pixels() -> None:
    stroke = SHAPES["a stroke"]
    got = raster(Drawing().drawn(stroke, 0), 0, SIZE, zoom=0.5)
    assert (got == expected([stroke.moved(Move(0.5))])).all()


def test_a_mask_at_rest_is_computed_once() -> None:
    drawing = Drawing().drawn(SHAPES["a dab"], 2).moved(4, Move(1, 3, 0))
    rasters = list(each_raster(drawing, range(7), SIZE))
    assert all((r == raster(drawing, n, SIZE)).all() for n, r in enumerate(rasters))
    assert [a is b for a, b in pairwise(rasters)] == [
        True, True, False, False, True, True,
    ]  # fmt: skip


def test_the_thinnest_brush_paints_a_pixel() -> None:
    for at in (7.0, 7.25, 7.5, 7.99):
        assert raster(Drawing().drawn(Shape(REMOVED, ((at, at),), 0.01), 0), 0, SIZE).any()


@pytest.mark.parametrize("seed", range(20))
def test_strokes_of_any_direction(seed: int) -> None:
    """Among them pieces along the axes, pieces of no length, and ways that cross themselves."""
    random = np.random.default_rng(seed)
    points = random.uniform((-5, -5), (45, 33), (6, 2)).round(2)
    points[1, 0], points[2, 1], points[4] = points[0, 0], points[1, 1], points[3]
    shape = Shape(REMOVED, tuple(map(tuple, points.tolist())), random.uniform(0.8, 9))
    assert (raster(Drawing().drawn(shape, 0), 0, SIZE) == expected([shape])).all()
