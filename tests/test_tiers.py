"""Placements on a CPU, by the real hooks: identical frames, and nothing left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import cogmagic
from cogmagic._apply import HostCopy, modules, placed
from cogmagic._pipeline import load
from cogmagic._session import Session

PROMPT = "a red circle moves right"


@pytest.fixture(scope="module")
def pipe(toy: Path) -> Any:
    return load(toy, "t2v", "float32")


def traces(pipe: Any) -> list[str]:
    """Every sign of a hook on the pipeline or its modules."""
    found = [f"pipe.{n}" for n in ("_offload_device", "maybe_free_model_hooks") if n in vars(pipe)]
    for component in modules(pipe):
        for name, module in component.named_modules():
            signs = {"_hf_hook", "_old_forward", "_diffusers_hook", "forward"} & set(vars(module))
            found += [f"{name}.{s}" for s in signs]
    return found


def tensors(pipe: Any) -> dict[str, tuple[int, int]]:
    """Identity and storage address of every parameter and buffer."""
    return {
        f"{i}.{name}": (id(t), t.data_ptr())
        for i, component in enumerate(modules(pipe))
        for name, t in [*component.named_parameters(), *component.named_buffers()]
    }


@pytest.mark.parametrize("tier", ["none", "model", "sequential"])
def test_placing_is_undone_completely(pipe: Any, tier: Any) -> None:
    before = tensors(pipe)
    with placed(pipe, tier, torch.device("cpu")):
        assert bool(traces(pipe)) == (tier != "none")
    assert traces(pipe) == []
    assert tensors(pipe) == before


@pytest.mark.parametrize("tier", ["none", "model", "sequential"])
def test_placing_is_undone_when_the_run_or_a_step_of_it_fails(
    pipe: Any, tier: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tensors(pipe)
    with pytest.raises(RuntimeError, match="mid-run"), placed(pipe, tier, torch.device("cpu")):
        raise RuntimeError("mid-run")
    assert traces(pipe) == []
    assert tensors(pipe) == before

    import accelerate

    real, calls = accelerate.hooks.add_hook_to_module, []

    def second_fails(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("half-way")
        return real(*args, **kwargs)

    if tier != "none":
        monkeypatch.setattr(accelerate.big_modeling, "add_hook_to_module", second_fails)
        monkeypatch.setattr(accelerate.hooks, "add_hook_to_module", second_fails)
        with (
            pytest.raises(RuntimeError, match="half-way"),
            placed(pipe, tier, torch.device("cpu")),
        ):
            pass
        assert traces(pipe) == []
        assert tensors(pipe) == before


def test_host_copy_puts_back_what_was_replaced(pipe: Any) -> None:
    before = tensors(pipe)
    host = HostCopy(modules(pipe))
    for component in modules(pipe):
        for sub in component.modules():
            for name, parameter in sub._parameters.items():
                if parameter is not None:
                    parameter.data = parameter.data.clone()
                    sub._parameters[name] = torch.nn.Parameter(parameter.data, requires_grad=False)
    assert tensors(pipe) != before
    host.restore()
    assert tensors(pipe) == before


def test_same_seed_same_frames_in_every_tier(toy: Path, cwd: Path, session: Session) -> None:
    digests = {
        tier: cogmagic.generate(
            PROMPT, model=str(toy), tier=tier, seed=3, num_inference_steps=2
        ).report.frames_sha256
        for tier in ("none", "model", "sequential")
    }
    assert len(set(digests.values())) == 1
    other = cogmagic.generate(PROMPT, model=str(toy), seed=4, num_inference_steps=2)
    assert other.report.frames_sha256 not in digests.values()


def test_the_pipeline_is_reused_and_replaced(
    toy: Path, toy_i2v: Path, cwd: Path, session: Session
) -> None:
    from PIL import Image

    cogmagic.generate(PROMPT, model=str(toy), seed=1, num_inference_steps=1)
    first = session.loaded
    cogmagic.generate(PROMPT, model=str(toy), seed=2, num_inference_steps=1, tier="model")
    assert session.loaded is first
    image = Image.new("RGB", (96, 96), "red")
    video = cogmagic.generate(
        PROMPT, model=str(toy_i2v), seed=1, num_inference_steps=1, image=image
    )
    assert session.loaded is not first
    assert video.frames().shape == (17, 96, 96, 3)
