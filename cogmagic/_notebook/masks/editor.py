"""The drawing as it is edited: the page's commands, and undo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cogmagic._notebook.masks.drawing import Drawing, Shape, move_of

__all__ = ["Editor"]


_MOST_UNDONE = 500
"""Steps that can be undone."""


class Editor:
    """A drawing with its history.

    Args:
        drawing: the first one.
        frames: how many frames the clip has.
    """

    def __init__(self, drawing: Drawing, frames: int) -> None:
        self._frames = frames
        self._history = [drawing]
        self._at = 0

    @property
    def drawing(self) -> Drawing:
        """The drawing as it is now."""
        return self._history[self._at]

    @property
    def can_undo(self) -> bool:
        """Whether there is an earlier drawing."""
        return self._at > 0

    @property
    def can_redo(self) -> bool:
        """Whether a later drawing was undone."""
        return self._at + 1 < len(self._history)

    def apply(self, command: Mapping[str, Any]) -> bool:
        """Do what a message of the page asks for; False if it asks for no change of a drawing.

        Raises:
            LookupError, ValueError, TypeError: for numbers out of range; nothing has changed then.
        """
        drawing, kind = self.drawing, command.get("do")
        if kind == "undo":
            self._at -= self.can_undo
        elif kind == "redo":
            self._at += self.can_redo
        elif kind == "clear":
            self._put(Drawing())
        elif kind == "draw":
            self._put(drawing.drawn(Shape.of_json(command["shape"]), self._frame(command)))
        elif kind == "move":
            move = move_of(command["scale"], command["dx"], command["dy"])
            self._put(drawing.moved(self._frame(command), move))
        elif kind == "key":
            self._put(drawing.keyed(self._frame(command)))
        elif kind == "unkey":
            self._put(drawing.unkeyed(self._frame(command)))
        else:
            return False
        return True

    def _frame(self, command: Mapping[str, Any]) -> int:
        frame = command["frame"]
        if not isinstance(frame, int) or not 0 <= frame < self._frames:
            raise ValueError(frame)
        return frame

    def _put(self, drawing: Drawing) -> None:
        if drawing == self.drawing:
            return
        self._history = [*self._history[: self._at + 1], drawing][-_MOST_UNDONE:]
        self._at = len(self._history) - 1
