"""Ways to need less memory, and what stays between runs: on a CPU, by the real classes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from traitlets import TraitError

import cogmagic
from cogmagic import Machine, Request, RequestError
from cogmagic._models.catalog import catalogued
from cogmagic._pipeline.guidance import guidance_halves
from cogmagic._pipeline.load import load
from cogmagic._pipeline.prompt_cache import Texts
from cogmagic._pipeline.storage import STORAGES
from cogmagic._pipeline.storage.base import narrowable_linears
from cogmagic._pipeline.storage.fp8 import fp8_linear
from cogmagic._planning.planner import plan
from cogmagic._session import session as session_module
from cogmagic._session.session import Session
from cogmagic._tiers.place import modules, placed
from cogmagic._units import GIB

PROMPT = "a red circle moves right"
TIERS = ("none", "model", "stream", "staged", "sequential")
SAVED = Path(__file__).parent.parent / "docs" / "benchmarks" / "savings.jsonl"
ROWS = [json.loads(line) for line in SAVED.read_text().splitlines()]


@pytest.fixture
def frames(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is written, clip by clip."""
    kept: list[Any] = []
    write = session_module.write_mp4

    def keep(part: Any, clip: Any, *rest: Any) -> None:
        kept.append(clip.astype(np.int16))
        write(part, clip, *rest)

    monkeypatch.setattr(session_module, "write_mp4", keep)
    return kept


def run(toy: Path, **options: Any) -> cogmagic.Video:
    Texts.clear()
    return cogmagic.generate(PROMPT, model=str(toy), seed=3, num_inference_steps=2, **options)


@pytest.mark.parametrize("saving", ["lean_decode", "guidance_halves", "fp8"])
def test_savings_give_the_same_frames_in_every_tier(
    toy: Path, cwd: Path, session: Session, frames: list[Any], saving: str
) -> None:
    run(toy)
    for tier in TIERS:
        run(toy, tier=tier, **{saving: True})
    plain, *others = frames
    assert all((clip == others[0]).all() for clip in others)
    off = np.abs(plain - others[0]).max()
    assert off == 0 if saving == "lean_decode" else off <= (2 if saving != "fp8" else 255)


def test_staging_keeps_nothing_in_host_memory_and_one_component_at_a_time(
    toy: Path, cwd: Path, session: Session
) -> None:
    there: set[tuple[str, ...]] = set()

    def look(_: Any) -> None:
        loaded = session_module.session().loaded
        if loaded is not None:
            parts = {"text_encoder", "transformer", "vae"} & set(loaded.pipe.components)
            held = (p for p in parts if (c := getattr(loaded.pipe, p)) and not is_empty(c))
            there.add(tuple(sorted(held)))

    video = run(toy, tier="staged", on_progress=look)
    assert there >= {("text_encoder",), ("transformer",), ("vae",)}
    assert max(len(parts) for parts in there) == 1
    loaded = session_module.session().loaded
    assert loaded is not None
    assert loaded.nbytes == 0
    assert all(is_empty(component) for component in modules(loaded.pipe))
    assert "not kept" in video.report.kept


def is_empty(component: Any) -> bool:
    return all(p.is_meta for p in component.parameters())


def test_staging_is_undone_when_a_run_fails(
    toy: Path, cwd: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = run(toy, tier="staged").report.frames_sha256

    def fails(*_: Any) -> None:
        raise RuntimeError("mid-run")

    with monkeypatch.context() as patch:
        patch.setattr("cogmagic._pipeline.generate._decode", fails)
        with pytest.raises(RuntimeError, match="mid-run"):
            run(toy, tier="staged")
    loaded = session_module.session().loaded
    assert loaded is not None
    assert all(is_empty(component) for component in modules(loaded.pipe))
    assert run(toy, tier="staged").report.frames_sha256 == expected


def test_fp8_weights_are_near_and_small(toy: Path) -> None:
    wide, narrow = load(toy, "t2v", "float32"), load(toy, "t2v", "float32")
    STORAGES["fp8"].store(narrow.transformer)
    mine = list(narrowable_linears(wide.transformer.transformer_blocks))
    theirs = [m for m in narrow.transformer.modules() if isinstance(m, fp8_linear())]
    assert len(mine) == len(theirs) == 6 * len(wide.transformer.transformer_blocks)
    for linear, kept in zip(mine, theirs, strict=True):
        assert kept.weight.element_size() == 1
        off = (kept.weight.float() * kept.scale - linear.weight).abs()
        largest = linear.weight.abs().amax(dim=1, keepdim=True)
        # Half a step of three bits of mantissa, or of the smallest numbers of the format.
        assert (off <= linear.weight.abs() / 16 * 1.001 + largest / 448 * 2**-9).all()


def test_savings_are_told_and_are_no_measure_of_the_tier(
    toy: Path, cwd: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt: list[Any] = []
    monkeypatch.setattr(session_module, "learn", lambda *given: learnt.append(given[2]))
    assert run(toy).report.options == ()
    video = run(toy, fp8=True, guidance_halves=True)
    assert video.report.options == ("guidance_halves", "fp8")
    assert "--guidance-halves · --fp8" in video.facts_line()
    assert len(learnt) == 1

    def runs_out(*_: Any) -> None:
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr("cogmagic._pipeline.generate._decode", runs_out)
    with pytest.raises(cogmagic.OutOfMemoryError):
        run(toy, lean_decode=True)
    assert len(learnt) == 1


def test_every_step_is_halved_though_diffusers_puts_forward_back(toy: Path) -> None:
    """As its prefetching does after the first step (`LazyPrefetchGroupOffloadingHook`)."""
    from diffusers.hooks import HookRegistry, ModelHook

    class Once(ModelHook):  # type: ignore[misc]
        def post_forward(self, module: Any, output: Any) -> Any:
            module._diffusers_hook.remove_hook("once", recurse=False)
            return output

    transformer = load(toy, "t2v", "float32").transformer
    HookRegistry.check_if_exists_or_initialize(transformer).register_hook(Once(), "once")
    batches: list[int] = []

    def count(_: Any, given: tuple[Any, ...], __: Any) -> None:
        batches.append(len(given[1]))

    transformer.patch_embed.register_forward_hook(count)
    config = transformer.config
    given = {
        "hidden_states": torch.zeros(2, 3, config.in_channels, 8, 8),
        "encoder_hidden_states": torch.zeros(2, config.max_text_seq_length, config.text_embed_dim),
        "timestep": torch.tensor([5, 5]),
    }
    kind = type(transformer)
    with guidance_halves(transformer), torch.no_grad():
        for _ in range(3):
            assert len(transformer(**given)[0]) == 2
    assert batches == [1] * 6
    assert type(transformer) is kind


def test_files_that_change_or_go_during_a_staged_run(
    toy: Path, cwd: Path, session: Session, tmp_path: Path
) -> None:
    folder = tmp_path / "toy"
    shutil.copytree(toy, folder)

    def damage(progress: cogmagic.Progress) -> None:
        if progress.phase == "denoise" and not progress.done:
            (folder / "transformer" / "config.json").unlink(missing_ok=True)

    with pytest.raises(cogmagic.CheckpointError, match="changed during the run"):
        run(folder, tier="staged", on_progress=damage)
    loaded = session_module.session().loaded
    assert loaded is not None
    assert all(is_empty(component) for component in modules(loaded.pipe))


def test_savings_and_tiers_that_do_not_go_together() -> None:
    two = Machine.of("2x RTX 3060")
    with pytest.raises(cogmagic.TierError, match="'balanced' does not work with --fp8"):
        cogmagic.plan(model="5b", machine=two, tier="balanced", fp8=True)
    offered = {c.tier for c in cogmagic.plan(model="5b", machine=two, lean_decode=True).candidates}
    assert "balanced" not in offered


def test_a_lack_of_disk_is_not_cured_by_savings() -> None:
    model = catalogued("5b")
    assert model is not None
    machine = replace(Machine.of("H100 SXM"), disk=GIB)
    found = plan(Request.of("any", model), machine, download=20 * GIB)
    assert not found.fits
    assert not any(change.startswith("--") for change in found.changes)


def test_cold_keeps_nothing(toy: Path, cwd: Path, session: Session) -> None:
    video = run(toy, keep="cold")
    assert session_module.session().loaded is None
    assert "as asked" in video.report.kept


def test_unknown_keep() -> None:
    with pytest.raises(RequestError, match=r"Unknown keep 'worm'\. Did you mean 'warm'"):
        cogmagic.generate(PROMPT, keep="worm")
    with pytest.raises(RequestError, match=r"fp8='no' is not True or False\."):
        cogmagic.plan(fp8="no")  # type: ignore[arg-type]


def test_the_pipeline_computes_on_the_device_with_every_block_staying(toy: Path) -> None:
    """With kept prompts, too, when nothing is streamed that could tell the device."""
    from diffusers.hooks.group_offloading import _get_group_onload_device

    pipe, cpu = load(toy, "t2v", "float32"), torch.device("cpu")
    count = len(pipe.transformer.transformer_blocks)
    with placed(pipe, "stream", cpu, resident=count, text=False):
        assert _get_group_onload_device(pipe.transformer) == cpu
        assert pipe.text_encoder is None


@pytest.mark.parametrize("row", ROWS, ids=lambda r: f"{'-'.join(r['options'])}-{r['limit']}")
def test_predictions_with_savings_are_as_measured(row: dict[str, Any]) -> None:
    options = dict.fromkeys(row["options"], True)
    limit = round(row["limit"] * GIB) if row["limit"] else None
    found = cogmagic.plan(
        model=row["model"], tier=row["tier"], machine=Machine.of("H100 SXM"), vram_limit=limit,
        **options,
    )  # fmt: skip
    if limit is None:
        assert found.peak_allocated == pytest.approx(row["allocated"], rel=0.05)
        assert found.step_seconds == pytest.approx(row["step_seconds"], rel=0.2)
    elif found.fits:
        assert "error" not in row


def test_a_plan_that_does_not_fit_says_what_would() -> None:
    small = Machine.of(vram=3.6)
    found = cogmagic.plan(model="5b", machine=small)
    assert not found.fits
    assert any(c.startswith("--lean-decode --guidance-halves: ") for c in found.changes)
    assert cogmagic.plan(model="5b", machine=small, lean_decode=True, guidance_halves=True).fits


def test_fp8_makes_room() -> None:
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


def test_where_host_memory_is_short_components_are_staged() -> None:
    found = cogmagic.plan(model="1.5-5b", machine=Machine.of("RTX 4090", ram=8))
    assert (found.tier, found.fits) == ("staged", True)


def test_what_stays_is_a_default_of_the_kernel(shell: Any, capsys: Any) -> None:
    shell.run("%config CogMagic.keep = 'cold'")
    with pytest.raises(TraitError, match=r"Unknown keep 'tepid'\. Choose from: hot, warm, cold"):
        shell.run("get_ipython().magics_manager.registry['CogMagic'].keep = 'tepid'")
    with pytest.raises(TraitError, match=r"Unknown policy 'luck'\. Choose from: auto, rule"):
        shell.run("get_ipython().magics_manager.registry['CogMagic'].policy = 'luck'")
    shell.run("print(get_ipython().magics_manager.registry['CogMagic'].keep)")
    assert capsys.readouterr().out.splitlines()[-1] == "cold"
