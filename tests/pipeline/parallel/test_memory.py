"""The footprint of a rank against what it has alive while it makes a step with the others."""

from __future__ import annotations

import pytest

from cogmagic._footprint.configs import latent_clip, table
from cogmagic._footprint.footprint import footprint
from cogmagic._pipeline.parallel.split import Split
from tests.helpers.footprints import request_for
from tests.helpers.ranks import Ranks
from tests.pipeline.parallel.memory import traced_decode, traced_step

CONFIGS = table()["models"]["tiny"]["configs"]


@pytest.mark.parametrize("split", [Split(2, 1), Split(1, 2), Split(1, 3), Split(2, 2)], ids=str)
def test_predicted_bytes_are_alive_on_every_rank(ranks: Ranks, split: Split) -> None:
    request = request_for("tiny", 176, 144, 17, guidance_scale=6.0)
    clip = latent_clip(request, CONFIGS)
    ours = footprint(request, "float32", split=split)
    made = ranks.run(split, traced_step, clip)
    for peak, entering, outside in made:
        assert ours.denoise.peak == pytest.approx(peak, rel=0.01)
        assert ours.blocks.entering == pytest.approx(entering, rel=0.01)
        assert outside <= 1.01 * ours.blocks.outside


@pytest.mark.slow
def test_predicted_bytes_are_alive_while_tiles_are_decoded(ranks: Ranks) -> None:
    request = request_for("tiny", 208, 176, 9, guidance_scale=6.0)
    clip, split = latent_clip(request, CONFIGS), Split(1, 3)
    ours = footprint(request, "float32", split=split)
    first, *others = ranks.run(split, traced_decode, clip)
    assert ours.decode.peak == pytest.approx(first, rel=0.01)
    assert ours.decode_share is not None
    assert ours.decode_share.peak == pytest.approx(max(others), rel=0.01)
    assert ours.decode.operations < footprint(request, "float32").decode.operations / 2
