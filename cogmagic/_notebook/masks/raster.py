"""The pixels of a drawing: those whose middle lies in a shape. Canvas, preview and file use it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cogmagic._models.masks.levels import KEPT
from cogmagic._notebook.masks.drawing import Drawing, Move, Shape

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

__all__ = ["each_raster", "raster"]


_SMALL = 1e-12

_THINNEST = 0.75
"""Smallest radius of a brush, in pixels, so that a dab has at least one pixel."""


def raster(drawing: Drawing, frame: int, size: tuple[int, int], zoom: float = 1.0) -> Array:
    """The mask of a frame: uint8, height × width, of the values of `Shape.level`.

    Where shapes overlap, the larger value remains, so that what is affected never hides what is
    removed; `KEPT` erases both.

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
        rows, columns, inside = (_stroke if moved.radius else _polygon)(moved, size)
        part = result[rows, columns]
        if shape.level == KEPT:
            part[inside] = KEPT
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


def _stroke(shape: Shape, size: tuple[int, int]) -> _Part:
    """The pixels within the brush's radius of its way, piece by piece and row by row.

    In a row, a piece covers one interval: from the smallest to the largest x of its two round ends
    and of the rectangle between them.
    """
    import numpy as np

    radius = max(shape.radius, _THINNEST)
    ends = np.array(shape.points if len(shape.points) > 1 else shape.points * 2)
    low, high = ends.min(0) - radius, ends.max(0) + radius
    rows, columns = _span(low[1], high[1], size[1]), _span(low[0], high[0], size[0])
    y = np.arange(rows.start, rows.stop) + 0.5
    x0, y0 = ends[:-1, 0, None], ends[:-1, 1, None]
    dx, dy = np.diff(ends[:, 0])[:, None], np.diff(ends[:, 1])[:, None]
    length = np.hypot(dx, dy)
    # A direction along an axis is turned by a trillionth, so that nothing is divided by zero.
    ux = _not_zero(np.where(length, dx / np.maximum(length, _SMALL), 1.0))
    uy = _not_zero(dy / np.maximum(length, _SMALL))
    round_ends = [_chord(x, y - z, radius) for x, z in ((x0, y0), (x0 + dx, y0 + dy))]
    along = _interval((y0 - y) * uy / ux, (length + (y0 - y) * uy) / ux)
    across = _interval(((y - y0) * ux - radius) / uy, ((y - y0) * ux + radius) / uy)
    left, right = np.maximum(along[0], across[0]) + x0, np.minimum(along[1], across[1]) + x0
    left, right = np.where(left <= right, left, np.inf), np.where(left <= right, right, -np.inf)
    left = np.minimum.reduce([left, *(one[0] for one in round_ends)])
    right = np.maximum.reduce([right, *(one[1] for one in round_ends)])
    return rows, columns, _filled(left, right, columns)


def _chord(x: Array, dy: Array, radius: float) -> tuple[Array, Array]:
    """From where to where a circle around `x` covers a row that is `dy` from its middle."""
    import numpy as np

    covered = np.abs(dy) <= radius
    half = np.sqrt(np.maximum(radius**2 - dy**2, 0.0))
    return np.where(covered, x - half, np.inf), np.where(covered, x + half, -np.inf)


def _interval(a: Array, b: Array) -> tuple[Array, Array]:
    import numpy as np

    return np.minimum(a, b), np.maximum(a, b)


def _not_zero(direction: Array) -> Array:
    import numpy as np

    return np.where(np.abs(direction) < _SMALL, _SMALL, direction)


def _filled(left: Array, right: Array, columns: slice) -> Array:
    """The pixels of each row whose middle is in one of its intervals, pieces × rows."""
    import numpy as np

    width = columns.stop - columns.start
    first = np.clip(np.ceil(left - 0.5) - columns.start, 0, width).astype(int)
    after = np.clip(np.floor(right - 0.5) + 1 - columns.start, 0, width).astype(int)
    row = np.broadcast_to(np.arange(left.shape[1]) * (width + 1), left.shape)
    some = after > first
    count = left.shape[1] * (width + 1)
    begin, end = (np.bincount((row + at)[some], minlength=count) for at in (first, after))
    open_ = np.cumsum((begin - end).reshape(-1, width + 1), axis=1)
    return open_[:, :width] > 0


def _polygon(shape: Shape, size: tuple[int, int]) -> _Part:
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
    return rows, slice(0, size[0]), inside


def _span(low: float, high: float, length: int) -> slice:
    """The pixels that may lie between two coordinates."""
    start = min(max(int(low) - 1, 0), length)
    return slice(start, max(min(int(high) + 2, length), start))
