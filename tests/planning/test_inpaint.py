"""Plans of models that inpaint: phases, windows, and checkpoints outside the catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cogmagic
from cogmagic import Machine, RequestError, TierError

CLIP = np.zeros((200, 48, 84, 3), np.uint8)
PART = np.zeros((48, 84), bool)
PART[9:20, 9:40] = True
CARD = Machine.of("RTX 3060", ram=32)


def plan(model: str, **options: Any) -> cogmagic.Plan:
    given = {"video": CLIP, "mask": PART, "machine": CARD} | options
    return cogmagic.plan("a fox", model=model, **given)


def test_windows_take_time_and_hardly_memory() -> None:
    one, three = (plan("void", num_frames=n, tier="stream") for n in (85, 197))
    assert one.chosen is not None
    assert three.chosen is not None
    few, many = one.chosen.needs.gpus[0], three.chosen.needs.gpus[0]
    assert 0 < many["denoise"] - few["denoise"] < 0.1 * 2**30
    assert one.step_seconds is not None
    assert three.step_seconds is not None
    # 22, 22 and 14 latent frames; attention is in proportion to the square.
    assert 2.4 < three.step_seconds / one.step_seconds < 2.7


def test_chunks_take_time_and_no_memory_of_the_gpu() -> None:
    long = np.broadcast_to(CLIP[:1], (1000, *CLIP.shape[1:]))
    whole, chunk = (plan("void", video=long, num_frames=n, tier="stream") for n in (None, 181))
    assert "1000 frames of 672x384 at 12 fps" in str(whole)
    assert "in 6 chunks of 181 frames" in str(whole)
    assert whole.chosen is not None
    assert chunk.chosen is not None
    assert whole.chosen.needs.gpus == chunk.chosen.needs.gpus
    assert whole.seconds is not None
    assert chunk.seconds is not None
    assert 5 < whole.seconds / chunk.seconds < 6  # the weights are read once
    pixels = 672 * 384 * 3
    more = (whole.peak_ram or 0) - (chunk.peak_ram or 0)
    assert more == pytest.approx((1000 - 181) * pixels * (3 + 1 / 3), rel=0.3)
    with pytest.raises(RequestError, match=r"3601 frames \(any, 2 to 3600\)"):
        plan("void", num_frames=3601)


def test_a_card_of_six_gib_removes_objects() -> None:
    small = Machine.of("RTX 3060", ram=32, vram=6)
    assert plan("void", num_frames=197, machine=small).fits
    assert plan("1.5-5b-inp", num_frames=85, machine=small).fits


@pytest.mark.parametrize("model", ["void", "1.5-5b-inp"])
def test_the_clips_are_encoded_in_a_phase(model: str) -> None:
    chosen = plan(model, num_frames=85, tier="none", machine=Machine.of("H200", ram=64)).chosen
    assert chosen is not None
    assert {"encode", "encode video", "denoise", "decode"} <= chosen.needs.gpus[0].keys()


def test_only_text_is_not_encoded_by_the_vae() -> None:
    plain = cogmagic.plan("a fox", model="1.5-5b-inp", machine=CARD)
    assert plain.chosen is not None
    assert "encode video" not in plain.chosen.needs.gpus[0]


def test_the_plan_of_a_model_needs_no_clip() -> None:
    bare = cogmagic.plan(model="void", machine=CARD)
    assert bare.chosen is not None
    assert bare.request.num_frames == 197
    assert "encode video" in bare.chosen.needs.gpus[0]


def test_several_gpus_for_one_copy_are_refused() -> None:
    with pytest.raises(TierError, match="A video is encoded on one GPU"):
        plan("void", tier="balanced", machine=Machine.of("2x RTX 3090"))


def test_checkpoints_outside_the_catalogue_are_traced(toy_void: Path, toy_inp: Path) -> None:
    for toy in (toy_void, toy_inp):
        found = plan(str(toy), size="96x96", num_frames=17)
        assert found.chosen is not None
        assert found.chosen.needs.gpus[0]["encode video"] > 0
