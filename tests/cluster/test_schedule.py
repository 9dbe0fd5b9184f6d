"""Which actor makes which row: in order, elsewhere after a death, and not where it does not fit."""

from __future__ import annotations

from cogmagic import Request, TierError
from cogmagic._cluster.messages import Begin
from cogmagic._cluster.schedule import Schedule
from cogmagic._models.batch_row import Row
from cogmagic._planning.memory_options import DEFAULTS

BOTH = {0, 1}


def schedule(count: int = 6, left: tuple[int, ...] = ()) -> Schedule:
    request = Request.of("a red circle", "tiny", seed=1)
    rows = tuple(Row(number, request) for number in range(1, count + 1))
    left = left or tuple(range(1, count + 1))
    return Schedule(Begin(1, rows, left, DEFAULTS, previews=False, cwd=""))


def number(row: Row | None) -> int | None:
    return row.number if row else None


def test_rows_are_given_in_order_and_only_those_that_are_left() -> None:
    rows = schedule(6, (2, 3, 6))
    assert [number(rows.next(0, BOTH)) for _ in range(4)] == [2, 3, 6, None]


def test_no_actor_runs_far_ahead_of_the_kernel() -> None:
    rows = schedule(200)
    ahead = sum(rows.next(0, BOTH) is not None for _ in range(200))
    assert 2 <= ahead < 50
    rows.want(11)
    assert number(rows.next(0, BOTH)) == ahead + 1
    assert sum(rows.next(0, BOTH) is not None for _ in range(200)) == 9


def test_a_row_whose_actor_died_runs_elsewhere_once() -> None:
    rows = schedule()
    assert number(rows.next(0, BOTH)) == 1
    assert rows.died(1, 0, "worker 1: its process died") is None
    assert number(rows.next(0, BOTH)) == 2  # not the one that it died with
    assert number(rows.next(1, BOTH)) == 1
    error = rows.died(1, 1, "worker 2: its process died")
    assert str(error).startswith(
        "It ended two workers (worker 1: its process died; worker 2: its process died). Try"
    )
    assert [number(rows.next(0, BOTH)) for _ in range(5)] == [3, 4, 5, 6, None]


def test_a_row_whose_only_actor_died_runs_there_again() -> None:
    rows = schedule()
    rows.next(0, {0})
    rows.died(1, 0, "it died")
    assert number(rows.next(0, {0})) == 1


def test_a_row_that_does_not_fit_an_actor_is_tried_by_others() -> None:
    rows = schedule(2)
    rows.next(0, BOTH)
    rows.refused(1, 0, TierError("too large for 0"))
    assert rows.stuck(BOTH) == []
    assert number(rows.next(0, BOTH)) == 2
    assert number(rows.next(1, BOTH)) == 1
    rows.refused(1, 1, TierError("too large for 1"))
    ((stuck, error),) = rows.stuck(BOTH)
    assert (stuck, str(error)) == (1, "too large for 0")
    assert rows.next(0, BOTH) is None


def test_a_row_that_fits_only_the_actor_that_died_with_it_runs_there_again() -> None:
    rows = schedule(1)
    assert rows.waits
    rows.next(0, BOTH)
    assert not rows.waits
    rows.refused(1, 0, TierError("too large for 0"))
    assert number(rows.next(1, BOTH)) == 1
    rows.died(1, 1, "it died")
    assert rows.next(0, BOTH) is None
    assert number(rows.next(1, BOTH)) == 1


def test_a_row_waits_no_longer_for_an_actor_that_is_left_out() -> None:
    rows = schedule(1)
    rows.next(0, BOTH)
    rows.refused(1, 0, TierError("too large"))
    assert len(rows.stuck({0})) == 1


def test_texts_are_encoded_with_those_of_the_next_rows() -> None:
    rows = schedule(100, tuple(range(1, 101, 2)))
    upcoming = [row.number for row in rows.upcoming_from(51, 1)]
    assert upcoming[:3] == [51, 53, 55]
    assert len(upcoming) < 25
