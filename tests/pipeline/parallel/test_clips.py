"""Clips that several ranks decode, in every tier; and runs that one rank stops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cogmagic._pipeline.parallel.split import Split
from cogmagic._pipeline.parallel.tiles import owners
from tests.helpers.checkpoints import save_checkpoint
from tests.helpers.ranks import Ranks
from tests.pipeline.parallel.clips import (
    decode_differences,
    not_finite,
    progress_and_previews,
    stopped_at,
    tier_differences,
)


def test_dealt_tiles_join_to_the_same_bits(ranks: Ranks) -> None:
    first, *others = ranks.run(Split(1, 3), decode_differences)
    for name, (difference, calls, own) in first.items():
        assert difference == 0, name
        assert own == calls > 0, name  # hooks see every call, computed or received
        assert {of_rank[name][0] for of_rank in others} == {0}
        assert all((of_rank[name][2] > 0) == (name != "one tile") for of_rank in others)


def test_tiles_are_dealt_out_evenly() -> None:
    sizes = [(h, w) for h in (30, 30, 10) for w in (45, 45, 18)]  # of 5b's clip
    total = sum(h * w for h, w in sizes)
    for count in (1, 2, 3, 4, 8):
        ranks = owners(sizes, count)
        loads = [sum(h * w for (h, w), r in zip(sizes, ranks, strict=True) if r == i)
                 for i in range(count)]  # fmt: skip
        assert sum(loads) == total
        assert max(loads) <= max(1.1 * total / count, 30 * 45)


@pytest.mark.slow
def test_every_tier_makes_the_same_frames(ranks: Ranks, toy: Path) -> None:
    tiers = ["none", "stream", "sequential", "model"]
    for made in ranks.run(Split(1, 2), tier_differences, str(toy), "t2v", tiers, {}):
        assert made.keys() == {*tiers}
        assert max(made.values()) <= 1


def test_image_to_video_and_1_5(ranks: Ranks, toy_i2v: Path, tmp_path: Path) -> None:
    options = {"image": Image.new("RGB", (96, 96), "red")}
    made = ranks.run(Split(1, 2), tier_differences, str(toy_i2v), "i2v", ["none"], options)
    assert max(of_rank["none"] for of_rank in made) <= 1
    v15 = str(save_checkpoint(tmp_path / "v15", v15=True))
    options = {"num_frames": 17, "width": 128, "height": 96}
    made = ranks.run(Split(2, 1), tier_differences, v15, "t2v", ["none"], options)
    assert max(of_rank["none"] for of_rank in made) <= 1


@pytest.mark.slow
def test_video_to_video(ranks: Ranks, toy: Path) -> None:
    clip = np.random.default_rng(0).integers(0, 255, (9, 96, 96, 3), np.uint8)
    options = {"video": clip, "strength": 0.5, "num_inference_steps": 4}
    for split in (Split(1, 2), Split(2, 1)):
        made = ranks.run(split, tier_differences, str(toy), "t2v", ["none", "model"], options)
        assert max(max(of_rank.values()) for of_rank in made) <= 1


@pytest.mark.parametrize("stopper", [0, 1])
def test_a_stopped_rank_stops_all_after_the_same_step(
    ranks: Ranks, toy: Path, stopper: int
) -> None:
    made = ranks.run(Split(1, 2), stopped_at, str(toy), stopper)
    assert made == [("KeyboardInterrupt", [("denoise", 2)])] * 2


def test_rank_0_reports_every_tile_and_shows_previews(ranks: Ranks, toy: Path) -> None:
    first, other = ranks.run(Split(2, 1), progress_and_previews, str(toy))
    steps, previews, shape = first
    assert steps == [(done, 6) for done in range(7)]
    assert previews > 0
    assert shape == (9, 160, 240, 3)
    assert other[1:] == (0, (0, 0, 0, 3))


@pytest.mark.parametrize("owner", [0, 1])
def test_nan_of_any_rank_is_rank_0s_error(ranks: Ranks, toy: Path, owner: int) -> None:
    first, other = ranks.run(Split(1, 2), not_finite, str(toy), owner)
    assert "of its decoder, the VAE computed numbers that are not finite" in first
    assert other == ""
