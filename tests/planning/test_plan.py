"""A plan and its candidates."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import cogmagic
from cogmagic import Machine, Request
from cogmagic._machine.ram import Ram
from cogmagic._models.catalog import MODELS, catalogued
from cogmagic._models.find import find_model
from cogmagic._models.inputs import placeholders
from cogmagic._planning.plan_json import as_json
from tests.helpers.past_runs import RUN
from tests.helpers.plans import five, plan


def test_candidates_have_the_figures_of_the_plan() -> None:
    found = cogmagic.plan(model="5b", machine=Machine.of("RTX 3060"))
    amounts = ("peak_vram", "peak_allocated", "peak_ram", "seconds", "step_seconds", "fits")
    assert found.chosen is not None
    for name in amounts:
        assert getattr(found.chosen, name) == getattr(found, name) is not None
    assert found.chosen.reason == "fits"
    reasons = {c.tier: c.reason for c in found.candidates}
    assert reasons["none"].startswith("lacks ")
    assert reasons["none"].endswith(" GiB of VRAM")
    data = json.loads(as_json(found))["candidates"]
    assert [c["reason"] for c in data] == list(reasons.values())


def test_table_labels_what_would_make_it_faster_or_fit() -> None:
    fits = cogmagic.plan(model="5b", machine=Machine.of("RTX 4090"))
    assert "\nfaster   with 1.51 GiB more VRAM: no offload\n" in str(fits)
    too_small = cogmagic.plan(model="5b", machine=Machine.of(vram=4))
    assert not too_small.fits
    for change in too_small.changes:
        assert f"\nhelps    {change}\n" in str(too_small)


def test_refusal_of_too_little_host_memory_names_another_tier_or_model() -> None:
    small = Machine.of("RTX 3060", ram=4)
    assert cogmagic.plan(model="5b", machine=small, tier="stream").refusal.endswith(
        "more than is available: the kernel would be killed. Use --tier sequential."
    )
    smaller = replace(Machine(), ram=Ram(total=2**30, available=2**30))
    for model, advice in (
        ("5b", "End other kernels, or use --model 2b."),
        ("2b", "End other kernels."),
    ):
        refusal = cogmagic.plan(model=model, machine=smaller, tier="stream").refusal
        assert refusal.endswith(f"the kernel would be killed. {advice}")


@pytest.mark.parametrize("card", ["RTX 3060", "RTX 4090"])
def test_json_has_every_figure_of_the_plan(card: str) -> None:
    machine = Machine.of(card, ram=24)
    planned = cogmagic.plan(
        model="1.5-5b", machine=machine, tier="stream", fp8=True, lean_decode=True
    )
    same = ("tier", "fits", "reason", "peak_vram", "peak_allocated", "peak_ram", "seconds")
    same += ("step_seconds", "rule", "device", "dtype", "download")
    assert as_json(planned).startswith('{\n  "tier": "stream",\n')
    data = json.loads(as_json(planned))
    r = planned.request
    assert data == {
        **{name: getattr(planned, name) for name in same},
        "refusal": planned.refusal or None,
        "times": planned.times or None,
        "split": {"guidance": 1, "sequence": 1},
        "ranks": [],
        "peaks": [planned.peak_vram],
        "peaks_allocated": [planned.peak_allocated],
        "parallel": None,
        "model": "1.5-5b",
        "width": r.width,
        "height": r.height,
        "num_frames": r.num_frames,
        "num_inference_steps": r.num_inference_steps,
        "guided_steps": 50,
        "guidance_from": 0,
        "guidance_until": 1,
        "timesteps": [],
        "strength": 1.0,
        "preset": None,
        "seconds_without_preset": None,
        "loras": [],
        "savings": ["lean_decode", "fp8"],
        "speed": "exact",
        "storage": "fp8_products" if card == "RTX 4090" else "fp8",
        "speedups": [],
        "remarks": [],
        "speeds": data["speeds"],
        "changes": list(planned.changes),
        "warnings": list(planned.warnings),
        "candidates": data["candidates"],
    }
    figures = ("tier", "fits", "reason", "peak_vram", "peak_allocated", "peak_ram", "seconds")
    figures += (
        "step_seconds",
        "compile_seconds",
        "missing_vram",
        "missing_ram",
        "missing_disk",
        "missing_addresses",
    )
    assert data["candidates"] == [
        {name: getattr(c, name) for name in figures}
        | {"resident_blocks": c.needs.variant.resident_blocks}
        for c in planned.candidates
    ]


def test_table_notes_what_need_not_be_read_or_computed_again() -> None:
    machine = Machine.of("RTX 4090")
    fresh = str(plan(five(), machine))
    known = str(plan(five(), machine, weights_loaded=True, prompts_cached=True))
    for line in (
        "weights  in host memory from an earlier run: not read again",
        "text     prompt embeddings cached: the text encoder is not needed",
    ):
        assert line in known.splitlines()
        assert line not in fresh


def test_refusal_states_what_is_left_out_and_that_a_chosen_tier_comes_closest() -> None:
    full = replace(Machine.of("RTX 3060"), disk=10**9)
    refused = plan(five(), full, download=10**10)
    text = "5b at 720x480 with 49 frames does not fit: "
    assert refused.refusal.startswith(
        f"{text}streaming, which comes closest, lacks 8.39 GiB of disk"
    )
    asked = plan(five(), full, download=10**10, tier="model")
    assert asked.refusal.startswith(f"{text}model offload lacks ")
    left_out = replace(asked, left_out="--lean-decode is left out").refusal
    assert left_out.startswith(text)
    assert ". --lean-decode is left out. Free some space" in left_out


def test_refusal_offers_a_try_where_only_vram_lacks() -> None:
    refusals = [
        cogmagic.plan(model="5b", machine=Machine.of(vram=4, ram=ram)).refusal for ram in (64, 1)
    ]
    assert refusals[0].endswith(" To try anyway: --tier sequential.")
    assert "lacks 1.45 GiB of VRAM" in refusals[0]
    assert "GiB of RAM" in refusals[1]
    assert "To try anyway" not in refusals[1]


def test_plan_names_the_source_of_its_times() -> None:
    machine = Machine.of("RTX 4090")
    assert machine.rates is not None
    probed = replace(machine, rates=replace(machine.rates, source="probe"))
    unknown = replace(machine, rates=None)
    assert plan(five(), probed).times == "from a probe of this GPU"
    assert plan(five(), replace(probed, past=(RUN,))).times == (
        "from a probe of this GPU, and past runs"
    )
    assert plan(five(), unknown).times == (
        "unknown: this GPU is in no table, and has not been probed yet"
    )
    assert plan(five(), Machine()).times == ""


def test_unknown_architecture_has_no_candidates_on_a_cpu(toy: Path) -> None:
    request = Request.of("a circle", find_model(str(toy)))
    assert plan(request, Machine(), folder=toy).candidates == ()
    assert plan(request, Machine(), folder=toy, download=1).candidates


@pytest.mark.parametrize("model", [m.name for m in MODELS])
def test_bytes_of_a_plan_are_whole_numbers(model: str) -> None:
    machine = Machine.of("2x RTX 3090", ram=12)
    known = catalogued(model)
    assert known is not None
    request = Request.of("a fox", known, **placeholders(known.task, {}))
    amounts = ("peak_vram", "peak_allocated", "peak_ram", "missing_vram", "missing_ram")
    for candidate in plan(request, machine).candidates:
        assert {type(getattr(candidate, name)) for name in amounts} == {int}
        assert {type(n) for phases in candidate.needs.gpus for n in phases.values()} == {int}


def test_machine_whose_gpus_are_unknown_has_every_tier_of_one_gpu() -> None:
    found = plan(five(), Machine(device="cuda"))
    assert {(c.tier, c.peak_vram) for c in found.candidates} == {
        (tier, None) for tier in ("none", "model", "stream", "staged", "sequential")
    }
