"""Amounts as people read them."""

from __future__ import annotations

import pytest

from cogmagic._units import duration


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
