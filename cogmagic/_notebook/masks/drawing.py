"""A drawn mask: shapes in the pixels of a clip, and the keyframes between which they move."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cogmagic._models.masks.levels import AFFECTED, KEPT, REMOVED

__all__ = ["Drawing", "Keyframe", "Move", "Shape", "move_of"]


_FARTHEST = 1e6
"""Most pixels of a coordinate, and most frames."""

_MOST_POINTS = 20_000
"""Most points of a shape."""


@dataclass(frozen=True)
class Move:
    """A scale about the upper left corner, and then a translation in pixels."""

    scale: float = 1.0
    dx: float = 0.0
    dy: float = 0.0

    def then(self, other: Move) -> Move:
        """This move, followed by another."""
        return Move(
            self.scale * other.scale,
            other.scale * self.dx + other.dx,
            other.scale * self.dy + other.dy,
        )

    def undone(self) -> Move:
        """The move back."""
        return Move(1 / self.scale, -self.dx / self.scale, -self.dy / self.scale)

    def toward(self, other: Move, share: float) -> Move:
        """Linear interpolation: every point of a shape goes along a straight line."""
        return Move(
            self.scale + share * (other.scale - self.scale),
            self.dx + share * (other.dx - self.dx),
            self.dy + share * (other.dy - self.dy),
        )


@dataclass(frozen=True)
class Shape:
    """A brush stroke, or a filled polygon, of one value."""

    level: int
    """The value that it paints; `KEPT` erases what was drawn before."""
    points: tuple[tuple[float, float], ...]
    """Of a stroke the way of the brush; of a polygon its corners. (0, 0) is the frame's upper left
    corner, and (0.5, 0.5) the middle of its first pixel."""
    radius: float = 0.0
    """Of the brush, in pixels; 0 for a polygon."""

    def moved(self, move: Move) -> Shape:
        """The shape elsewhere, and larger or smaller."""
        points = tuple((move.scale * x + move.dx, move.scale * y + move.dy) for x, y in self.points)
        return replace(self, points=points, radius=self.radius * move.scale)

    def as_json(self) -> list[Any]:
        """The shape as numbers, from which `of_json` makes it again."""
        return [self.level, self.radius, *(n for point in self.points for n in point)]

    @classmethod
    def of_json(cls, numbers: Sequence[Any]) -> Shape:
        """The shape of `as_json`, or of the page.

        Raises:
            ValueError, TypeError: for what is no shape.
        """
        level, radius, *flat = numbers
        if level not in (KEPT, AFFECTED, REMOVED) or not 0 <= radius <= _FARTHEST:
            raise ValueError(numbers[:2])
        if len(flat) % 2 or not 2 <= len(flat) <= 2 * _MOST_POINTS:
            raise ValueError(len(flat))
        checked = [_checked(n) for n in flat]
        return cls(level, tuple(zip(checked[::2], checked[1::2], strict=True)), _checked(radius))


@dataclass(frozen=True)
class Keyframe:
    """Where the shapes are in one frame."""

    frame: int
    move: Move


@dataclass(frozen=True)
class Drawing:
    """The shapes, in the order in which they were drawn, and their keyframes, by frame.

    Between two keyframes the shapes move and grow linearly; before the first and after the last
    they rest.
    """

    shapes: tuple[Shape, ...] = ()
    keyframes: tuple[Keyframe, ...] = ()

    def move_at(self, frame: int) -> Move:
        """Where the shapes are in a frame, from where they were drawn."""
        after = bisect_right(self.keyframes, frame, key=lambda one: one.frame)
        last, following = self.keyframes[max(after - 1, 0) : after], self.keyframes[after:]
        if not last or not following:
            ends = last or following
            return ends[0].move if ends else Move()
        share = (frame - last[0].frame) / (following[0].frame - last[0].frame)
        return last[0].move.toward(following[0].move, share)

    def keyed(self, frame: int, move: Move | None = None) -> Drawing:
        """With a keyframe at `frame`; without `move` the shapes stay where they are in it."""
        added = Keyframe(frame, self.move_at(frame) if move is None else move)
        others = [one for one in self.keyframes if one.frame != frame]
        return replace(self, keyframes=tuple(sorted([*others, added], key=lambda k: k.frame)))

    def unkeyed(self, frame: int) -> Drawing:
        """Without the keyframe at `frame`; the only one remains, so that the shapes do too."""
        others = tuple(k for k in self.keyframes if k.frame != frame)
        return replace(self, keyframes=others or self.keyframes)

    def drawn(self, shape: Shape, frame: int) -> Drawing:
        """With a shape, as it is to be in `frame`. The first one makes its frame a keyframe."""
        drawing = self if self.keyframes else self.keyed(frame)
        original = shape.moved(drawing.move_at(frame).undone())
        return replace(drawing, shapes=(*drawing.shapes, original))

    def moved(self, frame: int, move: Move) -> Drawing:
        """With the shapes moved from where they are in `frame`, which becomes a keyframe."""
        return self.keyed(frame, self.move_at(frame).then(move))

    def box_at(self, frame: int) -> tuple[float, float, float, float] | None:
        """Left, top, right and bottom of what is painted in a frame; None for nothing."""
        painted = [s.moved(self.move_at(frame)) for s in self.shapes if s.level != KEPT]
        if not painted:
            return None
        xs = [x + side * s.radius for s in painted for x, _ in s.points for side in (-1, 1)]
        ys = [y + side * s.radius for s in painted for _, y in s.points for side in (-1, 1)]
        return min(xs), min(ys), max(xs), max(ys)

    def as_json(self) -> dict[str, Any]:
        """The drawing as numbers, from which `of_json` makes it again."""
        moves = [[k.frame, k.move.scale, k.move.dx, k.move.dy] for k in self.keyframes]
        return {"shapes": [shape.as_json() for shape in self.shapes], "keyframes": moves}

    @classmethod
    def of_json(cls, facts: Mapping[str, Any]) -> Drawing:
        """The drawing of `as_json`.

        Raises:
            LookupError, ValueError, TypeError: for what is no drawing.
        """
        moves = {int(_checked(frame)): move_of(*move) for frame, *move in facts["keyframes"]}
        keyframes = tuple(Keyframe(frame, moves[frame]) for frame in sorted(moves))
        return cls(tuple(map(Shape.of_json, facts["shapes"])), keyframes)


def move_of(scale: Any, dx: Any, dy: Any) -> Move:
    """The move of the page's or a file's numbers.

    Raises:
        ValueError, TypeError: for a scale that is not positive, and for what is no number.
    """
    if not 1e-3 <= _checked(scale) <= 1e3:
        raise ValueError(scale)
    return Move(float(scale), _checked(dx), _checked(dy))


def _checked(number: Any) -> float:
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise TypeError(number)
    if not abs(number) <= _FARTHEST:  # nor NaN
        raise ValueError(number)
    return float(number)
