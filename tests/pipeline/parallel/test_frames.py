"""Frames that several ranks make."""

from __future__ import annotations

from typing import Any

import pytest

from cogmagic._models.find import embedded_folder
from cogmagic._pipeline.parallel.split import Split
from tests.helpers.ranks import Ranks
from tests.pipeline.parallel.cases import frame_differences

SIZES: list[dict[str, Any]] = [
    {"width": 80, "height": 80, "num_frames": 9},  # 75 tokens, one tile
    {"width": 112, "height": 80, "num_frames": 9},  # 105 tokens, several tiles
]


@pytest.mark.parametrize("split", [Split(2, 1), Split(1, 2), Split(1, 3), Split(2, 2)], ids=str)
def test_frames_are_those_of_one_process(ranks: Ranks, split: Split) -> None:
    guidance = {"guidance_scale": 4.0 if split.guidance == 2 else 1.0}
    sizes = SIZES if split == Split(1, 2) else SIZES[:1]
    requests = [size | guidance for size in sizes]
    if split in (Split(2, 1), Split(1, 2)):
        guided = {"guidance_scale": 4.0, "guidance_until": 0.5}
        requests.append(SIZES[0] | guided)
    first, *others = ranks.run(split, frame_differences, str(embedded_folder()), requests)
    assert max(first) <= 1
    assert others == [[0] * len(requests)] * (split.count - 1)
