"""Plans of runs that begin from a video."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import cogmagic
from cogmagic import Machine, RequestError, TierError
from cogmagic._api.batch.plan_many import plan_rows
from cogmagic._api.batch.rows import rows_of, source_of
from cogmagic._footprint.footprint import footprint
from cogmagic._planning.plan import Plan
from cogmagic._planning.plan_json import as_json

CLIP = np.zeros((49, 8, 8, 3), np.uint8)
CARD = Machine.of("A100 80GB")


def planned(model: str = "5b", machine: Machine = CARD, **options: Any) -> Plan:
    found = cogmagic.plan(model=model, machine=machine, **options)
    assert found.seconds is not None
    assert found.step_seconds is not None
    return found


@pytest.mark.parametrize("tier", ["none", "stream", "sequential"])
def test_seconds_are_those_of_the_steps_that_run(tier: str) -> None:
    plain = planned(tier=tier)
    some, more = (planned(tier=tier, video=CLIP, strength=s) for s in (0.2, 0.6))
    step = plain.step_seconds
    assert some.step_seconds == more.step_seconds == pytest.approx(step)
    assert more.seconds - some.seconds == pytest.approx(20 * step)  # type: ignore[operator]
    assert "30 of 50 steps of dpm" in str(more)
    assert json.loads(as_json(more))["strength"] == 0.6


def test_seconds_count_the_encoding_of_the_video() -> None:
    plain, whole = planned(tier="none"), planned(tier="none", video=CLIP, strength=1)
    work, rates = footprint(whole.request, "bfloat16").encode_video, CARD.rates_in("bfloat16")
    assert work is not None
    assert rates is not None
    assert whole.seconds - plain.seconds == pytest.approx(work.operations / rates.decode)  # type: ignore[operator]


def test_memory_of_the_video_is_in_the_plan() -> None:
    """On a GPU it is as large as the clip in the run's dtype; on the host, uint8 beside that."""
    plain, video = planned("1.5-5b", tier="none"), planned(
        "1.5-5b", tier="none", video=np.zeros((81, 8, 8, 3), np.uint8)
    )  # fmt: skip
    pixels = 768 * 1360 * 3
    assert video.peak_allocated - plain.peak_allocated == 85 * pixels * 2
    assert video.peak_ram - plain.peak_ram == 81 * pixels


def test_tier_of_several_gpus_is_refused_and_not_chosen() -> None:
    two = Machine.of("2x RTX 3090")
    assert "balanced" in {c.tier for c in planned(machine=two).candidates}
    assert "balanced" not in {c.tier for c in planned(machine=two, video=CLIP).candidates}
    for options in ({"tier": "balanced"}, {"policy": "rule"}):
        with pytest.raises(TierError, match="A video is encoded on one GPU"):
            cogmagic.plan(model="5b", machine=two, video=CLIP, **options)


def test_training_takes_no_video() -> None:
    with pytest.raises(RequestError, match="begins from noise"):
        cogmagic.plan(model="5b", machine=CARD, video=CLIP, context="training")
    with pytest.raises(RequestError, match="A validation extends no clip"):
        cogmagic.plan(model="5b-i2v", machine=CARD, extend=CLIP, context="training")


def test_rows_of_a_batch_have_the_phase_of_their_videos() -> None:
    rows: list[dict[str, Any]] = [{"prompt": "a fox"}, {"prompt": "a fox", "video": CLIP}]
    source, memory = source_of({"prompts": rows, "model": "5b", "frames": 9, "seed": 1})
    plans = [share.plan for share in plan_rows(rows_of(source), memory, CARD).shares]
    phases = [plan.chosen.needs.gpus[0] for plan in plans if plan.chosen]
    assert ["encode video" in p for p in phases] == [False, True]
