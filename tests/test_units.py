"""Amounts as people read them."""

from __future__ import annotations

import pytest

from cogmagic._units import duration, seconds


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.4, "0 s"),
        (94.2, "94 s"),
        (119.4, "119 s"),
        (725.0, "12 min 5 s"),
        (3599.6, "1 h 0 min"),
        (3725.0, "1 h 2 min"),
        (90_000.0, "25 h 0 min"),
    ],
)
def test_seconds_become_minutes_and_hours(value: float, shown: str) -> None:
    assert duration(value) == shown


def test_short_amounts_have_decimals_where_asked() -> None:
    assert duration(41.23, decimals=1) == "41.2 s"
    assert duration(725.9, decimals=1) == "12 min 6 s"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "n/a"),
        (1.884, "1.88 s"),
        (599.0, "599 s"),
        (7199.0, "120 min"),
        (7200.0, "2 h 0 min"),
        (8835.0, "2 h 27 min"),
        (22_340.0, "6 h 12 min"),
    ],
)
def test_predicted_totals_over_two_hours_have_hours(value: float | None, shown: str) -> None:
    assert seconds(value) == shown


def test_amounts_side_by_side_have_the_unit_of_the_least() -> None:
    assert [seconds(v, least=500) for v in (500.0, 700.0)] == ["500 s", "700 s"]
    assert seconds(9000.0, least=700) == "2 h 30 min"
