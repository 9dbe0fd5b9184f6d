"""The pixels of a drawing: those whose middle lies in a shape. Canvas, preview and file use it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cogmagic._notebook.masks.drawing import KEEP, Drawing, Move, Shape

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

__all__ = ["each_raster", "raster"]


_THINNEST = 0.75
"""Smallest radius of a brush, in pixels, so that a dab has at least one pixel."""


def raster(drawing: Drawing, frame: int, size: tuple[int, int], zoom: float = 1.0) -> Array:
    """The mask of a frame: uint8, height × width, of the values of `Shape.level`.

    Where shapes overlap, the larger value remains, so that what is affected never hides what is
    removed; `KEEP` erases both.

    Args:
        drawing: what is drawn.
        frame: the frame's number, from 0.
        size: width and height of the result.
        zoom: pixels of the result for one of the clip.
    """
    import numpy as np

    result = np.zeros((size[1], size[0]), np.uint8)
    move = drawing.move_at(frame).then(Move(zoom))
    for shape in drawing.shapes:
        moved = shape.moved(move)
        for rows, columns, inside in (
            _stroke(moved, size) if moved.radius else _polygon(moved, size)
        ):
            part = result[rows, columns]
            if shape.level == KEEP:
                part[inside] = KEEP
            else:
                np.maximum(part, np.uint8(shape.level), out=part, where=inside)
    return result


def each_raster(drawing: Drawing, frames: range, size: tuple[int, int]) -> Iterator[Array]:
    """The mask of each frame; one that rests is the same array again."""
    move, last = drawing.move_at(frames[0]), raster(drawing, frames[0], size)
    for frame in frames:
        if (now := drawing.move_at(frame)) != move:
            move, last = now, raster(drawing, frame, size)
        yield last


_Part = tuple[slice, slice, "Array"]
"""Rows and columns of the result, and which of their pixels lie inside."""


def _stroke(shape: Shape, size: tuple[int, int]) -> Iterator[_Part]:
    """The pixels within the brush's radius of each piece of its way."""
    import numpy as np

    radius = max(shape.radius, _THINNEST)
    ends = zip(shape.points, shape.points[1:] or shape.points, strict=False)
    for (x0, y0), (x1, y1) in ends:
        rows = _span(min(y0, y1) - radius, max(y0, y1) + radius, size[1])
        columns = _span(min(x0, x1) - radius, max(x0, x1) + radius, size[0])
        y = np.arange(rows.start, rows.stop)[:, None] + (0.5 - y0)
        x = np.arange(columns.start, columns.stop)[None, :] + (0.5 - x0)
        dx, dy = x1 - x0, y1 - y0
        share = np.clip((x * dx + y * dy) / (dx * dx + dy * dy or 1.0), 0.0, 1.0)
        yield rows, columns, (x - share * dx) ** 2 + (y - share * dy) ** 2 <= radius**2


def _polygon(shape: Shape, size: tuple[int, int]) -> Iterator[_Part]:
    """The pixels from which a line to the left crosses an odd number of the polygon's edges."""
    import numpy as np

    ys = [y for _, y in shape.points]
    rows = _span(min(ys), max(ys), size[1])
    crossed = np.zeros((max(rows.stop - rows.start, 0), size[0] + 1), bool)
    for (x0, y0), (x1, y1) in zip(shape.points, shape.points[1:] + shape.points[:1], strict=True):
        if y0 > y1:
            (x0, y0), (x1, y1) = (x1, y1), (x0, y0)
        low, high = (int(n) for n in np.clip(np.ceil(np.array([y0, y1]) - 0.5), 0, size[1]))
        if low >= high:
            continue
        at = np.arange(low, high)
        x = x0 + (at + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
        first = np.clip(np.ceil(x - 0.5), 0, size[0]).astype(int)
        crossed[at - rows.start, first] ^= True
    inside = np.logical_xor.accumulate(crossed, axis=1)[:, : size[0]]
    yield rows, slice(0, size[0]), inside


def _span(low: float, high: float, length: int) -> slice:
    """The pixels that may lie between two coordinates."""
    start = min(max(int(low) - 1, 0), length)
    return slice(start, max(min(int(high) + 2, length), start))
