"""Which actor makes which row of a batch: in order, and once more elsewhere after a death."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field

from cogmagic._cluster.messages import Begin
from cogmagic._errors import CogMagicError
from cogmagic._models.batch_row import Row

__all__ = ["Schedule"]

_AHEAD = 16
"""Rows an actor that may be finished before the kernel has taken them: their files are on disk."""


@dataclass
class _State:
    """What has happened to one row."""

    deaths: list[str] = field(default_factory=list)
    """How each worker that was making it ended."""
    avoids: set[int] = field(default_factory=set)
    """Actors that died with it."""
    refusals: dict[int, CogMagicError] = field(default_factory=dict)
    """Actors whose memory it does not fit."""


class Schedule:
    """The rows of a batch that are left, and where each has been tried."""

    def __init__(self, batch: Begin) -> None:
        self.batch = batch
        self._rows = {row.number: row for row in batch.rows}
        self._place = {number: place for place, number in enumerate(batch.left)}
        self._waiting = list(batch.left)
        self._states: dict[int, _State] = {}
        self._taken = 0
        """The place of the row that the kernel waits for."""

    @property
    def waits(self) -> bool:
        """Whether a row is to be given to an actor."""
        return bool(self._waiting)

    def want(self, number: int) -> None:
        """The kernel has taken all rows before this one."""
        self._taken = self._place.get(number, self._taken)

    def next(self, actor: int, live: Set[int]) -> Row | None:
        """The first row for an actor; None while there is none.

        Args:
            actor: which is idle.
            live: all actors that make rows of this batch.
        """
        last = self._taken + _AHEAD * max(len(live), 1)
        for number in self._waiting:
            if self._place[number] > last:
                return None
            state = self._states.get(number)
            if state is not None and actor in state.refusals:
                continue
            if (
                state is not None
                and actor in state.avoids
                and live - state.avoids - set(state.refusals)
            ):
                continue
            self._waiting.remove(number)
            return self._rows[number]
        return None

    def upcoming_from(self, number: int, actors: int) -> list[Row]:
        """A row and those after it, whose texts an actor encodes with its own."""
        place = self._place[number]
        numbers = self.batch.left[place : place + _AHEAD * max(actors, 1)]
        return [self._rows[number] for number in numbers]

    def died(self, number: int, actor: int, how: str) -> CogMagicError | None:
        """A row whose worker died: it is tried once more; else the row's error.

        Args:
            number: the row.
            actor: which was making it.
            how: the end of its process, a clause.
        """
        state = self._states.setdefault(number, _State())
        state.deaths.append(how)
        state.avoids.add(actor)
        if len(state.deaths) < 2:
            self._again(number)
            return None
        return CogMagicError(
            f"It ended two workers ({'; '.join(state.deaths)}). Try it alone, smaller or in a tier"
            " that needs less memory."
        )

    def refused(self, number: int, actor: int, error: CogMagicError) -> None:
        """A row that does not fit an actor's memory: others try it."""
        self._states.setdefault(number, _State()).refusals[actor] = error
        self._again(number)

    def give_back(self, number: int) -> None:
        """A row that an actor did not begin."""
        self._again(number)

    def stuck(self, live: Set[int]) -> list[tuple[int, CogMagicError]]:
        """The rows that fit none of the actors, each with its error; they wait no longer."""
        stuck = []
        for number, state in self._states.items():
            if number in self._waiting and state.refusals and live <= set(state.refusals):
                self._waiting.remove(number)
                stuck.append((number, next(iter(state.refusals.values()))))
        return stuck

    def _again(self, number: int) -> None:
        self._waiting.append(number)
        self._waiting.sort(key=self._place.__getitem__)
