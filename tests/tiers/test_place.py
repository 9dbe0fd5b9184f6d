"""Placements on a CPU, by the real hooks: identical frames, and nothing left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import cogmagic
from cogmagic._session.session import Session
from tests.helpers.pipelines import tensors, traces
from tests.helpers.placing import placed
from tests.helpers.toy import PROMPT


@pytest.mark.parametrize("tier", ["none", "model", "stream", "sequential"])
def test_placement_is_undone_completely(pipe: Any, tier: Any) -> None:
    before = tensors(pipe)
    with placed(pipe, tier, torch.device("cpu")):
        assert bool(traces(pipe)) == (tier != "none")
    assert traces(pipe) == []
    assert tensors(pipe) == before


@pytest.mark.parametrize("tier", ["none", "model", "stream", "sequential"])
def test_placement_is_undone_when_the_run_or_a_step_fails(
    pipe: Any, tier: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tensors(pipe)
    with pytest.raises(RuntimeError, match="mid-run"), placed(pipe, tier, torch.device("cpu")):
        raise RuntimeError("mid-run")
    assert traces(pipe) == []
    assert tensors(pipe) == before

    import accelerate
    import diffusers.hooks.group_offloading

    hooks = diffusers.hooks.group_offloading
    real: Any = accelerate.hooks.add_hook_to_module
    if tier == "stream":
        real = hooks._apply_group_offloading_hook
    calls = []

    def second_fails(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("half-way")
        return real(*args, **kwargs)

    if tier != "none":
        monkeypatch.setattr(accelerate.big_modeling, "add_hook_to_module", second_fails)
        monkeypatch.setattr(accelerate.hooks, "add_hook_to_module", second_fails)
        monkeypatch.setattr(hooks, "_apply_group_offloading_hook", second_fails)
        with (
            pytest.raises(RuntimeError, match="half-way"),
            placed(pipe, tier, torch.device("cpu")),
        ):
            pass
        assert traces(pipe) == []
        assert tensors(pipe) == before


@pytest.mark.slow
def test_same_seed_same_frames_in_every_tier(toy: Path, cwd: Path, session: Session) -> None:
    digests = {
        tier: cogmagic.generate(
            PROMPT, model=str(toy), tier=tier, seed=3, num_inference_steps=2
        ).report.frames_sha256
        for tier in ("none", "model", "stream", "sequential")
    }
    assert len(set(digests.values())) == 1
    other = cogmagic.generate(PROMPT, model=str(toy), seed=4, num_inference_steps=2)
    assert other.report.frames_sha256 not in digests.values()
