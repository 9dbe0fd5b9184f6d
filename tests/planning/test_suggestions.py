"""What a plan that does not fit suggests."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

import cogmagic
from cogmagic import Machine, Request
from cogmagic._footprint.savings import Savings
from cogmagic._models.catalog import catalogued
from cogmagic._models.packed import Packed
from cogmagic._units import GIB
from tests.helpers.plans import five, plan


def test_no_savings_are_suggested_for_a_full_disk() -> None:
    model = catalogued("5b")
    assert model is not None
    machine = replace(Machine.of("H100 SXM"), disk=GIB)
    found = plan(Request.of("any", model), machine, download=20 * GIB)
    assert not found.fits
    assert not any(change.startswith("--") for change in found.changes)


def test_a_plan_that_does_not_fit_suggests_options_that_make_it_fit() -> None:
    small = Machine.of(vram=3.6)
    found = cogmagic.plan(model="5b", machine=small)
    assert not found.fits
    assert any(c.startswith("--lean-decode --guidance-halves: ") for c in found.changes)
    assert cogmagic.plan(model="5b", machine=small, lean_decode=True, guidance_halves=True).fits


def test_savings_go_with_an_fp8_transformer_beside_a_quantised_text_encoder() -> None:
    model = catalogued("5b")
    assert model is not None
    packed = Packed("text_encoder", "int8", 10, 0, 10, (1, 0, 1), scaled=True, file=10)
    model = replace(model, stored=replace(model.stored, packed=(packed,)))
    found = plan(Request.of("any", model), Machine.of(vram=3.6), savings=Savings(storage="fp8"))
    assert not found.fits
    assert any(c.startswith("--lean-decode --guidance-halves --fp8: ") for c in found.changes)


def test_a_plan_that_fits_no_tier_names_the_shortfall_and_what_would_help() -> None:
    found = plan(five(), Machine.of(vram=4))
    assert not found.fits
    assert found.reason.startswith("no tier fits: sequential offload, which comes closest, lacks ")
    assert any("GiB more VRAM: sequential offload, " in change for change in found.changes)
    assert (
        "--lean-decode: sequential offload, 32 min (the same picture; decoding takes longer)"
        in (found.changes)
    )
    model = catalogued("1.5-5b")
    assert model is not None
    card = Machine.of(vram=7)
    found = plan(Request.of("any", model), card)
    (frames,) = [c for c in found.changes if c.startswith("--num-frames")]
    fewer = int(frames.split()[1].rstrip(":"))
    assert plan(Request.of("any", model, num_frames=fewer), card).fits
    assert not plan(Request.of("any", model, num_frames=fewer + 16), card).fits


def test_a_requested_tier_that_does_not_fit_leads_to_the_one_that_does() -> None:
    machine = Machine.of(vram=25)
    for options in ({"policy": "rule"}, {"tier": "none"}):
        found = cogmagic.plan(model="1.5-5b", machine=machine, **options)
        assert not found.fits
        (change,) = found.changes
        assert change.startswith("--tier auto --policy auto: model offload, ")


def test_the_fast_speed_is_suggested_where_its_smaller_peaks_help() -> None:
    small = {"model": "5b", "machine": Machine.of("RTX 3060"), "vram_limit": 4.8}
    found = cogmagic.plan(**small)
    assert not found.fits
    changes = [change.partition(":")[0] for change in found.changes]
    assert changes.index("--lean-decode") + 1 == changes.index("--speed fast")
    (fast,) = [change for change in found.changes if change.startswith("--speed fast: ")]
    assert fast.endswith("(the same picture within rounding)")
    assert cogmagic.plan(**small, speed="fast").fits
    small["machine"] = replace(Machine.of("RTX 3060"), compiler="no C compiler is on PATH")
    assert not any("--speed" in change for change in cogmagic.plan(**small).changes)
    tiny = cogmagic.plan(model="1.5-5b", machine=Machine.of(vram=4))
    assert any(c.startswith("--speed fast --lean-decode --guid") for c in tiny.changes)


def test_guidance_halves_are_not_suggested_without_guidance() -> None:
    for scale, offered in ((6.0, True), (1.0, False)):
        found = cogmagic.plan(model="1.5-5b", machine=Machine.of(vram=5), guidance_scale=scale)
        assert any("halves" in change for change in found.changes) is offered


@pytest.mark.parametrize("vram", [1.9, 3.3, 5.3, 6.6, 9.1, 12.7, 15.2, 18.9, 21.4, 24.6])
@pytest.mark.parametrize("name", ["2b", "5b", "1.5-5b"])
def test_suggested_changes_make_the_plan_fit(name: str, vram: float) -> None:
    found = cogmagic.plan(model=name, machine=Machine.of(vram=vram, ram=64))
    assert found.changes or found.candidates[0].tier == found.tier
    for change in found.changes:
        what, _, then = change.partition(": ")
        options: dict[str, Any] = {}
        room = vram
        for part in what.split(" and "):
            if part.startswith("--num-frames"):
                options["num_frames"] = int(part.split()[1])
            elif part.startswith("--"):
                names = part.removeprefix("--").replace("-", "_").split(" __")
                options |= dict.fromkeys(names, True)
                if options.pop("speed fast", False):
                    options["speed"] = "fast"
            else:
                room += float(part.split()[0])
        after = cogmagic.plan(model=name, machine=Machine.of(vram=room, ram=64), **options)
        title = re.split(r" \(|,", then)[0]
        assert next(c for c in after.candidates if c.placement.title == title).fits
