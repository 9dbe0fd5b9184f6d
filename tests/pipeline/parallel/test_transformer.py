"""A pass of the transformer on several ranks equals that on one."""

from __future__ import annotations

import pytest
import torch

from cogmagic._pipeline.parallel.split import Split
from tests.helpers.ranks import Ranks
from tests.pipeline.parallel.cases import ARCHITECTURES, differences

HALVES = 1e-6
"""The greatest difference between a pass over two prompts and a pass over each, as a share of the
greatest number: torch multiplies one row by other kernels than two."""


@pytest.mark.parametrize("split", [Split(2, 1), Split(1, 2), Split(1, 3), Split(2, 2)], ids=str)
def test_output_is_that_of_one_rank_for_every_architecture(ranks: Ranks, split: Split) -> None:
    made = ranks.run(split, differences, list(ARCHITECTURES))
    assert len(made) == split.count
    for of_rank in made:
        for name, greatest in of_rank.items():
            if split.guidance == 1:  # tokens are the same rows as before
                assert greatest == 0, name
            else:
                assert 0 < greatest < HALVES, name


def test_output_is_that_of_guidance_halves_to_the_bit(ranks: Ranks) -> None:
    for split in (Split(2, 1), Split(2, 2)):
        assert (
            ranks.run(split, differences, ["5b", "2b"], True) == [{"5b": 0, "2b": 0}] * split.count
        )


def test_bfloat16(ranks: Ranks) -> None:
    made = ranks.run(Split(1, 2), differences, ["5b", "2b"], False, torch.bfloat16)
    assert made == [{"5b": 0, "2b": 0}] * 2
