"""The time that a batch still takes, by that of its finished rows."""

from __future__ import annotations

import time
from collections.abc import Sequence

from cogmagic._models.batch_row import Row
from cogmagic._models.request import Request

__all__ = ["BatchTimes"]


class BatchTimes:
    """How long the rows of a batch take, and an estimate for those that are left.

    Args:
        rows: all of the batch.
        at_once: whether several are made at the same time, of which the first is waited for.
    """

    def __init__(self, rows: Sequence[Row], *, at_once: bool = False) -> None:
        self._at_once = at_once
        self._work = [_work(row.request) for row in rows]
        self._row, self._began = 0, time.monotonic()
        self._made: list[tuple[float, float]] = []
        """Work and seconds of each finished row."""

    def begin(self, row: Row) -> None:
        """A row begins."""
        self._row, self._began = row.number - 1, time.monotonic()

    def end(self, row: Row, seconds: float) -> None:
        """A row is finished."""
        self._made.append((self._work[row.number - 1], seconds))

    def left(self) -> float | None:
        """Seconds for the current row and those after it; None until one is finished.

        The first loads the weights, so it does not count once another is finished, except where
        it is the one that is waited for while others are made.
        """
        made = self._made if self._at_once else self._made[1:] or self._made
        if not made:
            return None
        rate = sum(seconds for _, seconds in made) / sum(work for work, _ in made)
        spent = time.monotonic() - self._began
        current, rest = rate * self._work[self._row], rate * sum(self._work[self._row + 1 :])
        return max(current - spent, 0.0) + rest


def _work(request: Request) -> float:
    """The work of a row, in pixels denoised."""
    pixels = request.width * request.height * request.num_frames
    return float(pixels * (request.denoising_steps + len(request.guided_steps)))
