"""A pass of the transformer on several ranks equals that on one."""

from __future__ import annotations

import pytest
import torch

from cogmagic._pipeline.parallel.split import Split
from tests.helpers.architectures import ARCHITECTURES
from tests.helpers.ranks import Ranks
from tests.pipeline.parallel.cases import differences

ROUNDING = 1e-6
"""The greatest difference, as a share of the greatest number: whether fewer rows are multiplied to
the same bits depends on the processor."""


@pytest.mark.parametrize("split", [Split(2, 1), Split(1, 2), Split(1, 3), Split(2, 2)], ids=str)
def test_output_is_that_of_one_rank_for_every_architecture(ranks: Ranks, split: Split) -> None:
    made = ranks.run(split, differences, list(ARCHITECTURES))
    assert len(made) == split.count
    for of_rank in made:
        for name, greatest in of_rank.items():
            assert greatest < ROUNDING, name


def test_output_is_that_of_guidance_halves(ranks: Ranks) -> None:
    for split in (Split(2, 1), Split(2, 2)):
        for of_rank in ranks.run(split, differences, ["5b", "2b"], True):
            assert max(of_rank.values()) < ROUNDING


def test_bfloat16(ranks: Ranks) -> None:
    for of_rank in ranks.run(Split(1, 2), differences, ["5b", "2b"], False, torch.bfloat16):
        assert max(of_rank.values()) < 2e-2
