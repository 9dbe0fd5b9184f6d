"""Curves between stored points against fresh traces."""

from __future__ import annotations

import random
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from cogmagic._footprint.curves import Curve, Peak
from cogmagic._footprint.footprint import footprint
from cogmagic._models.catalog import MODELS
from cogmagic._models.model import DTYPES, Dtype
from cogmagic._pipeline.parallel.split import Split
from tests.helpers.footprints import fresh_footprint, model_named, near, request_for


def sample() -> list[Any]:
    """A legal request of each model and dtype in turn, with and without guidance."""
    chance = random.Random(7)  # noqa: S311
    cases = []
    for number, model in enumerate(MODELS):
        rule = model.sizes
        low, high = rule.short[0] // rule.multiple, rule.short[1] // rule.multiple
        short = rule.multiple * chance.randint(low, high)
        long = rule.multiple * chance.randint(
            max(short, rule.long[0]) // rule.multiple, rule.long[1] // rule.multiple
        )
        width, height = (long, short) if chance.random() < 0.5 or rule.exact else (short, long)
        frames = chance.choice(model.frames.at_once())
        guidance, dtype = (1.0, 6.0)[number // 3 % 2], DTYPES[number % 3]
        cases.append(
            pytest.param(
                (model.name, width, height, frames), guidance, dtype,
                id=f"{model.name}-{width}x{height}x{frames}-{guidance:g}-{dtype}",
            )
        )  # fmt: skip
    return cases


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "guidance", "dtype"), sample())
def test_lines_between_stored_points_are_close_to_fresh_traces(
    script: ModuleType, shape: tuple[Any, ...], guidance: float, dtype: Dtype
) -> None:
    request = request_for(*shape, guidance_scale=guidance)
    lean = dtype == "float16"
    stored = footprint(request, dtype, lean=lean)
    fresh = fresh_footprint(script, request, dtype, lean=lean)
    for name in ("text_encoder", "transformer", "vae", "tokens", "encode"):
        assert getattr(stored, name) == getattr(fresh, name)
    for name in ("entering", "outside", "peak"):
        ours, traced = getattr(stored.blocks, name), getattr(fresh.blocks, name)
        assert ours == pytest.approx(traced, rel=0.015, abs=2**16)  # small beside real models
    assert replace(stored.blocks, entering=0, outside=0, peak=0) == replace(
        fresh.blocks, entering=0, outside=0, peak=0
    )
    for phase in ("denoise", "decode", "encode_image"):
        predicted, traced = getattr(stored, phase), getattr(fresh, phase)
        assert (predicted is None) == (traced is None)
        if predicted is not None:
            below = max(0.005, 2**14 / traced.peak)  # tiny-i2v's smallest peaks are below 2 MiB
            near(predicted, Peak(traced.peak, traced.leaf_peak), below=below)
            assert predicted.operations == pytest.approx(traced.operations, rel=1e-9)


def test_lines_pass_through_points_and_round_up() -> None:
    curve = Curve((10, 20, 40), (100, 205, 305), (110, 205, 305), (7, 17, 37))
    assert [curve(x).peak for x in (10, 15, 20, 30, 40, 44)] == [100, 153, 205, 255, 305, 325]
    assert curve(10) == Peak(100, 110, 7)
    assert curve(30).mapped == 27
    with pytest.raises(ValueError, match="traced at 7 only"):
        Curve((7,), (1,), (1,), (1,))(8)


def test_a_share_of_what_was_traced_at_one_size_is_in_proportion() -> None:
    """As for positions that are learned for one size, of whose tokens a rank has a part."""
    layer = Curve((100,), (1000,), (1300,), (7,))  # 300 bytes of weights beside it
    assert layer.share(50, 100) == Peak(500, 800, 4)
    around = Curve((100,), (1000,), (400,), (0,))  # 400 alive when a block begins
    assert around.share(50, 100) == Peak(500, 200, 0)
    assert around.share(100, 100) == around(100)
    several = Curve((50, 100), (700, 1000), (700, 1000), (0, 0))
    assert several.share(50, 100) == several(50)


@pytest.mark.parametrize("name", ["5b-i2v", "1.5-5b-i2v", "2b"])
def test_a_rank_needs_a_share_of_any_model(name: str) -> None:
    model = model_named(name)
    request = request_for(name, model.width, model.height, model.frames.default)
    one, half, part = (
        footprint(request, "bfloat16", split=split).denoise.peak
        for split in (Split(1, 1), Split(2, 1), Split(1, 2))
    )
    assert 0.49 * one < half < part < 0.54 * one
