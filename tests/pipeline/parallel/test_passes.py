"""Ranks work with all that changes a transformer, and leave nothing behind."""

from __future__ import annotations

import pytest

from cogmagic._pipeline.parallel.attention import spans
from cogmagic._pipeline.parallel.split import Split
from tests.helpers.ranks import Ranks
from tests.pipeline.parallel.passes import (
    cached_interval,
    cached_steps,
    changed_differences,
    compiled_difference,
    decisions,
    kernel_difference,
    left_by_an_error,
    shared_failure,
)

SPLITS = [Split(2, 1), Split(1, 3), Split(2, 2)]


@pytest.mark.parametrize(
    ("tokens", "count", "shares"),
    [
        (6, 3, [(0, 2), (2, 4), (4, 6)]),
        (17550, 4, [(0, 4388), (4388, 8776), (8776, 13163), (13163, 17550)]),
        (2, 3, [(0, 1), (1, 2), (2, 2)]),
    ],
)
def test_shares_differ_by_a_token(tokens: int, count: int, shares: list[tuple[int, int]]) -> None:
    assert spans(tokens, count) == shares


@pytest.mark.parametrize("split", SPLITS, ids=str)
def test_an_attention_kernel_computes_each_ranks_heads(ranks: Ranks, split: Split) -> None:
    for to_kernel, to_torchs in ranks.run(split, kernel_difference):
        assert to_kernel < 1e-5
        assert to_torchs > 1e-3


@pytest.mark.parametrize("split", SPLITS, ids=str)
def test_adapters_and_storages_give_the_same_output(ranks: Ranks, split: Split) -> None:
    for made in ranks.run(split, changed_differences):
        assert max(made["lora"], made["fp8"]) < 1e-5
        assert made["fp8_products"] < 1e-2  # rounding may cross a step of the 8 bits


def test_a_compiled_block_is_one_graph(ranks: Ranks) -> None:
    assert ranks.run(Split(1, 2), compiled_difference, "eager") == [(1, 0), (1, 0)]


@pytest.mark.parametrize("split", [Split(2, 1), Split(1, 2), Split(2, 2)], ids=str)
@pytest.mark.parametrize("halves", [False, True])
def test_a_step_cache_skips_the_same_steps_as_one_rank(
    ranks: Ranks, split: Split, halves: bool
) -> None:
    made = ranks.run(split, cached_steps, 0.2, halves)
    skipped = [several for _, several, _ in made]
    alone = made[0][0]
    if halves and split.guidance == 2:  # each half counts its own prompt's
        half = len(skipped) // 2
        assert skipped[0] + skipped[half] == alone
        assert {*skipped[:half]} == {skipped[0]}
    else:
        assert skipped == [alone] * split.count
    assert alone > 0
    assert max(difference for *_, difference in made) < 1e-5


@pytest.mark.parametrize("halves", [False, True])
def test_a_step_cache_begins_again_where_guidance_ends(ranks: Ranks, halves: bool) -> None:
    for alone, several, difference in ranks.run(Split(2, 2), cached_interval, halves):
        assert alone == several == 4
        assert difference < 1e-5


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_nothing_behind(ranks: Ranks, error: type[BaseException]) -> None:
    assert ranks.run(Split(2, 2), left_by_an_error, error) == [True] * 4


def test_ranks_agree_share_and_sum(ranks: Ranks) -> None:
    for index, made in enumerate(ranks.run(Split(2, 2), decisions)):
        half = [2.0, 1.0] if index < 2 else [2.0, 5.0]
        assert made == [False, True, True, 0, [4.0, 6.0], half]


def test_a_failure_of_rank_0_ends_all(ranks: Ranks) -> None:
    made = ranks.run(Split(1, 3), shared_failure, ValueError)
    assert made == ["ValueError: no text encoder", *["FirstRankError: no text encoder"] * 2]
    made = ranks.run(Split(1, 3), shared_failure, KeyboardInterrupt)
    assert [text.split(":")[0] for text in made] == ["KeyboardInterrupt"] * 3
