"""The tier that is chosen, and its figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import cogmagic
from cogmagic import Machine, Request
from cogmagic._footprint.footprint import footprint
from cogmagic._footprint.savings import Savings
from cogmagic._models.catalog import MODELS, catalogued
from cogmagic._pipeline.storage import STORAGES
from cogmagic._units import GIB
from tests.helpers.benchmarks import script
from tests.helpers.plans import five, machine, plan
from tests.helpers.toy import PROMPT


def test_plan_with_cached_prompts_needs_less() -> None:
    model = catalogued("5b")
    assert model is not None
    request, machine = Request.of(PROMPT, model), Machine.of("RTX 4000 Ada")
    with_text, without = (plan(request, machine, prompts_cached=cached) for cached in (False, True))
    assert (with_text.tier, without.tier) == ("model", "none")
    assert "the text encoder is not needed" in str(without)


def test_fp8_needs_less_vram() -> None:
    machine = Machine.of("RTX 4080", ram=64)
    plain, narrow = (
        cogmagic.plan(model="5b", machine=machine, tier="none", fp8=fp8) for fp8 in (False, True)
    )
    assert plain.peak_allocated is not None
    assert narrow.peak_allocated is not None
    assert 4.0 < (plain.peak_allocated - narrow.peak_allocated) / GIB < 5.0
    assert narrow.peak_ram is not None
    assert plain.peak_ram is not None
    assert 4.0 < (plain.peak_ram - narrow.peak_ram) / GIB < 5.0
    assert "savings  --fp8" in str(narrow)


def test_fp8_is_fp8_products_on_ada_and_hopper() -> None:
    for card, products in {"RTX 3090": False, "RTX 4090": True, "H100 80GB": True}.items():
        machine = Machine.of(card, ram=64)
        planned = cogmagic.plan(model="5b", machine=machine, tier="none", fp8=True)
        assert (planned.savings.storage == "fp8_products") == products
        assert ("storage  fp8 products: another picture" in str(planned)) == products


def test_fp8_products_need_no_widened_weight() -> None:
    # 5b's rotated queries and keys, which 2b has not, take more than a widened weight.
    for name, more in {"2b": 7680 * 1920 * 2, "5b": 0}.items():
        model = catalogued(name)
        assert model is not None
        plain = footprint(Request.of(PROMPT, model), "bfloat16")
        wide, narrow = (Savings(storage=s).shrunk(plain).denoise for s in ("fp8", "fp8_products"))
        assert narrow.peak == plain.denoise.peak
        assert abs(wide.peak - plain.denoise.peak - more) < 2**16  # and its bias
    # Measured with one block on an H200: 7.0 times the hidden states compiled, and 6.0 without.
    hidden, storage = 2 * 17776 * 3072 * 2, STORAGES["fp8_products"]
    assert storage.compiled_scratch(hidden, 2) == hidden
    assert storage.compiled_scratch(2 * hidden, 4) == 0
    assert STORAGES["fp8"].compiled_scratch(hidden, 2) == 0


def test_staged_loading_is_chosen_where_host_memory_is_short() -> None:
    found = cogmagic.plan(model="1.5-5b", machine=Machine.of("RTX 4090", ram=8))
    assert (found.tier, found.fits) == ("staged", True)


TINY = MODELS[0]


def test_requested_tier_is_used_and_the_rule_still_shown() -> None:
    chosen = plan(Request.of("a circle", TINY), machine(40.0), tier="sequential")
    assert (chosen.tier, chosen.rule) == ("sequential", "none")
    assert "the planner would choose no offload" in chosen.reason
    assert "40.0 GiB" in chosen.rule_reason
    assert plan(Request.of("a circle", TINY), machine(40.0), tier="auto").tier == "none"


def test_fastest_fitting_tier_is_chosen_and_of_equals_the_simplest() -> None:
    tiers = {v: plan(five(), Machine.of(vram=v)).tier for v in (5, 6, 12, 16, 24, 32)}
    assert tiers == {
        5: "sequential",
        6: "stream",
        12: "stream",
        16: "model",
        24: "model",
        32: "none",
    }
    assert plan(five(), Machine.of("2x A100 80GB")).tier == "none"
    assert plan(five(), Machine.of("2x RTX 4080")).tier == "balanced"


def test_too_little_host_memory_does_not_fit() -> None:
    model = catalogued("1.5-5b")
    assert model is not None
    found = plan(Request.of("any", model), Machine.of("RTX 4090", ram=1))
    assert not found.fits
    assert "GiB of RAM" in found.reason


def test_simplest_of_nearly_equal_tiers_is_chosen() -> None:
    for card in ("RTX 3060", "RTX 4090", "T4"):
        assert cogmagic.plan(machine=Machine.of(card, ram=16)).tier == "none"
    short = cogmagic.plan(
        model="5b", machine=Machine.of("V100 32GB", ram=24), dtype="float16",
        num_inference_steps=1,
    )  # fmt: skip
    assert short.tier == "none"


@pytest.mark.parametrize("card", ["P100", "GTX 1080 Ti", "RTX 3060", "H100 SXM"])
def test_streaming_is_never_predicted_slower_than_sequential_offload(card: str) -> None:
    found = cogmagic.plan(
        model="1.5-5b", machine=Machine.of(card), dtype="float16", num_frames=161, tier="stream"
    )
    seconds = {c.tier: c.seconds or 0 for c in found.candidates}
    assert seconds["stream"] < seconds["sequential"]


def test_dtype_of_the_files_counts(tmp_path: Path) -> None:
    """A folder of 5b's architecture, whose transformer may be in other bits than the hub's."""
    from cogmagic._models.find import find_model

    plan_time = script("plan_time")
    found = {}
    for dtype in ("BF16", "F32"):
        folder = tmp_path / dtype
        folder.mkdir()
        plan_time._foreign(folder, layers=42, dtype=dtype)
        model = find_model(str(folder))
        assert model.name == "5b"
        assert model.stored.transformer == {"BF16": "bfloat16", "F32": "float32"}[dtype]
        machine = Machine.of("RTX 4090", ram=12)
        found[dtype] = plan(Request.of("any", model), machine, tier="model", folder=folder)
    assert found["BF16"].fits
    assert not found["F32"].fits
    assert (found["F32"].peak_ram or 0) - (found["BF16"].peak_ram or 0) > 10 * GIB
    assert (found["F32"].seconds or 0) - (found["BF16"].seconds or 0) > 6  # twice the bytes


def test_loaded_weights_are_not_read_again() -> None:
    machine = Machine.of("RTX 4090")
    cold, warm = (plan(five(), machine, weights_loaded=loaded) for loaded in (False, True))
    times = [{c.tier: c.seconds or 0 for c in p.candidates} for p in (cold, warm)]
    # 20 GiB at 1.5 GiB/s from the disk, at 10 into memory, at 20 to lock it, and what is first.
    assert times[0]["model"] - times[1]["model"] == pytest.approx(18.4, abs=0.5)
    assert times[0]["staged"] - times[1]["staged"] == pytest.approx(4.1, abs=0.5)  # a first run's
    assert times[0]["model"] < times[0]["staged"]


def test_download_must_fit_the_disk() -> None:
    machine = replace(Machine.of("RTX 4090"), disk=10 * GIB)
    short = plan(five(), machine, download=21_500_000_000)
    assert not short.fits
    assert short.reason.startswith("no tier fits: ")
    assert short.reason.endswith("lacks 10.03 GiB of disk")
    assert "download 21.5 GB from the hub, first" in str(short)
    assert plan(five(), machine, download=10**9).fits


def test_weights_larger_than_the_page_cache_are_read_at_each_step() -> None:
    roomy, short = (
        plan(five(), Machine.of("RTX 3060", ram=ram), tier="sequential") for ram in (32, 11)
    )
    assert roomy.step_seconds is not None
    assert short.step_seconds is not None
    assert short.step_seconds - roomy.step_seconds == pytest.approx(8.6, abs=0.1)
    # 10.4 GiB at 1 GiB/s, and then from pageable memory, where the roomy one has it page-locked.
    both = cogmagic.plan(
        model="5b", machine=Machine.of("RTX 3060", ram=11), tier="sequential", guidance_halves=True
    )
    assert both.step_seconds is not None
    assert both.step_seconds - short.step_seconds > 8.0  # twice a step


def test_memory_of_this_process_is_not_missing() -> None:
    machine = Machine.of("RTX 4090", ram=1)
    assert not plan(five(), machine).fits
    assert plan(five(), replace(machine, ram=replace(machine.ram, mine=2 * GIB))).fits


def test_too_little_ram_on_a_cpu_does_not_fit() -> None:
    model = catalogued("5b")
    assert model is not None
    found = plan(five(), Machine.of(ram=16))
    assert not found.fits
    assert found.reason.startswith("no tier fits: no offload, which comes closest, lacks ")
    assert plan(five(), Machine.of(ram=64)).fits


def test_streaming_keeps_as_many_blocks_as_fit() -> None:
    machine = Machine.of("H100 SXM")
    kept = []
    for limit in (5.7, 6, 8, 12, 16, 24):
        found = plan(five(), machine, vram_limit=round(limit * GIB))
        kept.append(
            next(c for c in found.candidates if c.tier == "stream").needs.variant.resident_blocks
        )
    assert kept == sorted(kept)
    assert kept[0] < 4
    assert 10 < kept[3] < 42
    assert kept[-1] == 42


def test_compiled_runs_are_planned_in_tiers_that_compile() -> None:
    compiled = plan(five(), Machine.of("RTX 3060"), compile=True)
    assert {c.tier for c in compiled.candidates} == {"none", "model", "stream", "staged"}
    by_rule = plan(five(), Machine.of("RTX 3060"), compile=True, policy="rule")
    assert "--compile does not work with tier 'sequential'" in by_rule.refusal
    assert f"refused  {by_rule.refusal}" in str(by_rule)
