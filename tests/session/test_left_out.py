"""Options that a run cannot apply: plans do not count them, and the run and the plan say so."""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import cogmagic
from cogmagic import Machine
from cogmagic._footprint.configs import table
from cogmagic._footprint.savings import Savings
from cogmagic._machine.ram import Ram
from cogmagic._models.catalog import catalogued
from cogmagic._planning.memory_options import Available
from cogmagic._progress import Clock, silent
from cogmagic._session import attempts
from cogmagic._session.loaded import Loaded
from cogmagic._session.session import Session
from cogmagic._tiers.pinned_weights import PinnedWeights
from cogmagic._units import GIB
from tests.helpers.plans import five, plan
from tests.helpers.toy import PROMPT, QUICK

LEAN = Savings(lean_decode=True)
GELU = "the VAE's decoder.mid_block.resnets.0 has another activation than SiLU"


def changed_vae(original: Path, folder: Path, **config: Any) -> Path:
    """A copy of a checkpoint with another configuration of its VAE."""
    shutil.copytree(original, folder)
    path = folder / "vae" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return folder


@pytest.fixture
def gelu(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return changed_vae(toy, tmp_path_factory.mktemp("gelu") / "t2v", act_fn="gelu")


def configs_of_5b(folder: Path, **vae: Any) -> Path:
    """5b's configurations, with changes to its VAE's."""
    for part, config in table()["models"]["5b"]["configs"].items():
        (folder / part).mkdir()
        config = config | vae if part == "vae" else config
        (folder / part / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("card", ["RTX 3060", "H100 80GB"])
def test_plan_does_not_count_lean_decoding_of_another_vae(tmp_path: Path, card: str) -> None:
    folder, machine = configs_of_5b(tmp_path, act_fn="gelu"), Machine.of(card, ram=64)
    without = plan(five(), machine, folder=folder)
    lean = plan(five(), machine, folder=folder, savings=LEAN)
    assert lean.candidates == without.candidates
    assert lean.options.savings.names == ()
    note = f"--lean-decode is left out: {GELU}"
    assert lean.warnings == (note,)
    assert f"warning  {note}" in str(lean)
    assert "savings" not in str(lean)
    assert without.warnings == ()
    real = plan(five(), machine, savings=LEAN)
    assert real.warnings == ()
    assert (real.chosen, real.options.savings.names) != (lean.chosen, ())


def test_plan_leaves_out_fast_decoding_of_another_vae(tmp_path: Path) -> None:
    folder, machine = configs_of_5b(tmp_path, act_fn="gelu"), Machine.of("H100 80GB", ram=128)
    fast = plan(five(), machine, folder=folder, speed="fast")
    assert not fast.speedups.decode
    assert f"fast decoding: {GELU}" in fast.remarks[0]
    assert plan(five(), machine, speed="fast").speedups.decode


def test_lean_decoding_of_another_vae_is_neither_suggested_nor_blamed(tmp_path: Path) -> None:
    folder, small = configs_of_5b(tmp_path, act_fn="gelu"), Machine.of(vram=4.9, ram=64)
    known = plan(five(), small)
    assert not known.fits
    assert any("--lean-decode" in change for change in known.changes)
    other = plan(five(), small, folder=folder)
    assert not any("--lean-decode" in change for change in other.changes)
    asked = plan(five(), small, folder=folder, savings=LEAN)
    assert f" --lean-decode is left out: {GELU}." in asked.refusal
    assert plan(five(), small, savings=LEAN).fits


def test_plan_of_the_catalogue_builds_no_vae(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def built(*_: object) -> str:
        raise AssertionError("torch would be imported")

    monkeypatch.setattr("cogmagic._pipeline.decoding.lean.unknown_vae_of", built)
    plan(five(), Machine.of("RTX 3060", ram=64), folder=configs_of_5b(tmp_path))


def test_run_leaves_out_lean_decoding_of_another_vae_and_says_so(
    gelu: Path, cwd: Path, session: Session
) -> None:
    options: dict[str, Any] = {"model": str(gelu), **QUICK}
    plain = cogmagic.generate(PROMPT, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lean = cogmagic.generate(PROMPT, lean_decode=True, guidance_halves=True, **options)
    assert lean.report.options == ("guidance_halves",)
    assert lean.report.reason.endswith(f"; --lean-decode is left out: {GELU}")
    assert "lean_decode" not in lean.facts_line()
    again = cogmagic.generate(PROMPT, lean_decode=True, **options)
    assert again.report.options == ()
    assert again.report.frames_sha256 == plain.report.frames_sha256
    planned = cogmagic.plan(PROMPT, lean_decode=True, **options)
    assert planned.warnings == (f"--lean-decode is left out: {GELU}",)


def test_run_leaves_out_lean_decoding_of_a_loaded_vae_that_was_changed(
    toy: Path, cwd: Path, session: Session
) -> None:
    options: dict[str, Any] = {"model": str(toy), "lean_decode": True, **QUICK}
    lean = cogmagic.generate(PROMPT, **options)
    assert lean.report.options == ("lean_decode",)
    assert session.loaded is not None
    block = session.loaded.pipe.vae.decoder.mid_block
    handle = block.register_forward_hook(lambda *_: None)
    hooked = cogmagic.generate(PROMPT, **options)
    handle.remove()
    assert hooked.report.options == ()
    assert "left out: the VAE's decoder.mid_block has hooks" in hooked.report.reason
    assert hooked.report.frames_sha256 == lean.report.frames_sha256
    assert cogmagic.generate(PROMPT, **options).report.options == ("lean_decode",)


def test_report_says_why_weights_are_not_page_locked(
    toy: Path, cwd: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    cogmagic.generate(PROMPT, model=str(toy), **QUICK)
    loaded = session.loaded
    assert loaded is not None
    short = Ram(total=8 * GIB, available=GIB // 2)
    monkeypatch.setattr("cogmagic._session.loaded.host_ram", lambda: short)
    clock = Clock(silent)
    assert loaded.pin(clock, torch.device("cpu"), required=False) is None
    assert loaded.unpinned == (
        "0.50 GiB of RAM was left for 1.00 GiB of page-locked weights: copying them takes longer"
    )
    monkeypatch.undo()
    assert loaded.pin(clock, torch.device("cpu"), required=False) is not None
    assert loaded.unpinned == ""


def test_run_without_the_planned_page_locked_memory_says_so_and_is_not_learned_from(
    toy: Path, cwd: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: list[object] = []
    monkeypatch.setattr(attempts, "record_run", lambda *run: recorded.append(run))
    options: dict[str, Any] = {"model": str(toy), "tier": "stream", **QUICK}
    planned = cogmagic.generate(PROMPT, **options)
    assert len(recorded) == 1

    def refuse(weights: PinnedWeights, _: torch.device) -> None:
        weights.refused = "the driver refused to page-lock 0.1 GiB of weights"

    monkeypatch.setattr(PinnedWeights, "lock", refuse)
    other = cogmagic.generate(PROMPT, **options)
    reason = "the driver refused to page-lock 0.1 GiB of weights: copying them takes longer"
    assert other.report.reason == f"{planned.report.reason}; {reason}"
    assert len(recorded) == 1
    cogmagic.generate(PROMPT, **{**options, "tier": "none"})  # planned without
    assert len(recorded) == 2


def test_report_says_that_a_tier_cannot_keep_weights_hot() -> None:
    from cogmagic._session.pipeline_slot import PipelineSlot
    from cogmagic._tiers.registry import TIERS

    slot, model = PipelineSlot(), catalogued("5b")
    assert model is not None
    for tier in ("model", "stream", "sequential"):
        hot = plan(five(), Machine.of("RTX 4090", ram=64), keep="hot", tier=tier)
        slot.loaded = Loaded(
            None, model, Path(), "bfloat16", storage="", files=(), weights="host", nbytes=0
        )
        title = TIERS[tier].title
        assert slot.keep(hot) == f"weights stay in RAM: {title} cannot keep them on the GPU"
        assert slot.keep(replace(hot, options=replace(hot.options, keep="warm"))) == ""


def test_what_a_run_has_learned_of_the_vae_counts_for_the_next_plan() -> None:
    from cogmagic._planning import planner
    from cogmagic._planning.memory_options import MemoryOptions

    learned = planner.plan(
        five(),
        Machine.of("RTX 4090", ram=64),
        MemoryOptions.of(lean_decode=True),
        Available(not_lean="the VAE has a post_quant_conv"),
    )
    assert learned.options.savings.names == ()
    assert learned.left_out == "--lean-decode is left out: the VAE has a post_quant_conv"
