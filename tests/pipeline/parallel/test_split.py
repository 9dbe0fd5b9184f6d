"""How one video's work is divided among ranks."""

from __future__ import annotations

import pytest

from cogmagic import RequestError
from cogmagic._pipeline.parallel.split import WHOLE, Split, counts, split_of


@pytest.mark.parametrize(
    ("count", "guided", "heads", "split"),
    [
        (1, True, 48, WHOLE),
        (2, True, 48, Split(2, 1)),
        (3, True, 6, Split(1, 3)),
        (4, True, 6, Split(2, 2)),
        (12, True, 6, Split(2, 6)),
        (2, True, 5, Split(2, 1)),
        (2, False, 48, Split(1, 2)),
        (16, False, 48, Split(1, 16)),
    ],
)
def test_guidance_is_halved_first(count: int, guided: bool, heads: int, split: Split) -> None:
    assert split_of(count, guided=guided, heads=heads) == split
    assert split.count == count


@pytest.mark.parametrize(
    ("count", "guided", "heads", "near"),
    [
        (5, True, 6, "--parallel 4 or --parallel 6"),
        (4, False, 6, "--parallel 3 or --parallel 6"),
        (97, True, 48, "--parallel 96"),
        (7, False, 30, "--parallel 6 or --parallel 10"),
    ],
)
def test_other_counts_are_refused_with_the_nearest(
    count: int, guided: bool, heads: int, near: str
) -> None:
    with pytest.raises(RequestError, match=rf"{heads} attention heads.* Nearest: {near}\.$"):
        split_of(count, guided=guided, heads=heads)


def test_legal_counts_are_those_that_can_be_split() -> None:
    assert counts(100, guided=True, heads=6) == (1, 2, 3, 4, 6, 12)
    assert counts(5, guided=True, heads=48) == (1, 2, 3, 4)
    assert counts(8, guided=False, heads=30) == (1, 2, 3, 5, 6)


def test_a_split_is_shown_with_both_its_factors() -> None:
    assert str(Split(2, 4)) == "guidance 2 x tokens 4"
