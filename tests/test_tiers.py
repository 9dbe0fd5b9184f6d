"""Placements on a CPU, by the real hooks: identical frames, and nothing left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import cogmagic
from cogmagic._machine.ram import Ram
from cogmagic._pipeline import compile as _compile
from cogmagic._pipeline.load import load
from cogmagic._session.session import Session
from cogmagic._tiers.host_copy import HostCopy
from cogmagic._tiers.place import modules, placed
from cogmagic._tiers.stream import stream_indices
from cogmagic._video.mp4 import write_mp4

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


@pytest.mark.parametrize("tier", ["none", "model", "stream", "sequential"])
def test_placing_is_undone_completely(pipe: Any, tier: Any) -> None:
    before = tensors(pipe)
    with placed(pipe, tier, torch.device("cpu")):
        assert bool(traces(pipe)) == (tier != "none")
    assert traces(pipe) == []
    assert tensors(pipe) == before


@pytest.mark.parametrize("tier", ["none", "model", "stream", "sequential"])
def test_placing_is_undone_when_the_run_or_a_step_of_it_fails(
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
        for tier in ("none", "model", "stream", "sequential")
    }
    assert len(set(digests.values())) == 1
    other = cogmagic.generate(PROMPT, model=str(toy), seed=4, num_inference_steps=2)
    assert other.report.frames_sha256 not in digests.values()


def test_blocks_that_stay_are_spread_and_come_and_go(pipe: Any) -> None:
    assert stream_indices(42, 0) == frozenset(range(42))
    assert stream_indices(42, 42) == frozenset()
    assert stream_indices(6, 3) == frozenset({1, 3, 5})
    assert [len(stream_indices(42, k)) for k in (1, 20, 41, 50)] == [41, 22, 1, 0]
    before = tensors(pipe)
    blocks = pipe.transformer.transformer_blocks
    with placed(pipe, "stream", torch.device("cpu"), resident=len(blocks) - 1):
        hooked = [hasattr(b, "_diffusers_hook") for b in blocks]
        assert sum(hooked) == 1
        assert pipe.transformer.transformer_blocks is blocks
    assert traces(pipe) == []
    assert tensors(pipe) == before


def test_weights_become_copies_of_their_own(toy: Path, cwd: Path, session: Session) -> None:
    seen: list[cogmagic.Progress] = []
    video = cogmagic.generate(
        PROMPT, model=str(toy), tier="stream", seed=3, num_inference_steps=2,
        on_progress=seen.append,
    )  # fmt: skip
    assert session.loaded is not None
    host = session.loaded.host
    assert host is not None
    assert host.locked == ()  # there is no CUDA to lock for
    weights = HostCopy(modules(session.loaded.pipe)).nbytes
    assert weights <= host.nbytes + 2**20
    told = [p for p in seen if p.phase == "load" and p.total]
    assert (told[-1].done, told[-1].total) == (host.nbytes, host.nbytes)
    for tier in ("model", "sequential", "none"):
        again = cogmagic.generate(PROMPT, model=str(toy), tier=tier, seed=3, num_inference_steps=2)
    assert again.report.frames_sha256 == video.report.frames_sha256
    assert session.loaded.host is host


def test_a_stream_from_too_little_memory_is_refused(
    toy: Path, cwd: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cogmagic._session.loaded.host_ram", lambda: Ram(2**30, 2**29, mine=2**28))
    with pytest.raises(cogmagic.TierError, match=r"RAM for copies .* there are 0.75 GiB"):
        cogmagic.generate(PROMPT, model=str(toy), tier="stream", seed=3, num_inference_steps=1)
    assert session.loaded is not None
    assert session.loaded.host is None
    cogmagic.generate(PROMPT, model=str(toy), tier="sequential", seed=3, num_inference_steps=1)


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


@pytest.mark.parametrize("tier", ["none", "model", "stream"])
def test_compiled_blocks_draw_the_same_and_leave_nothing(
    toy: Path, cwd: Path, session: Session, tier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {
        "model": str(toy), "tier": tier, "seed": 3, "num_inference_steps": 2, "compile": True,
    }  # fmt: skip
    frames: list[Any] = []

    def write(path: Path, found: Any, *rest: Any) -> None:
        frames.append(found)
        write_mp4(path, found, *rest)

    monkeypatch.setattr("cogmagic._session.session.write_mp4", write)
    cogmagic.generate(PROMPT, **(options | {"compile": False}))
    _compile._SEEN.clear()
    seen: list[str] = []
    first = cogmagic.generate(PROMPT, **options, on_progress=lambda p: seen.append(p.phase))
    assert "compile" in first.report.seconds
    assert list(dict.fromkeys(seen))[1:] == ["denoise", "compile", "decode", "save"]
    again = cogmagic.generate(PROMPT, **options)
    assert "compile" not in again.report.seconds  # the code is there
    assert again.report.frames_sha256 == first.report.frames_sha256
    off = abs(frames[1].astype(int) - frames[0].astype(int)).max()
    assert off <= 2  # of 255
    assert session.loaded is not None
    assert traces(session.loaded.pipe) == []


def test_compiling_without_a_compiler_or_layer_by_layer(
    toy: Path, cwd: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(cogmagic.TierError, match="--compile does not work with tier 'sequential'"):
        cogmagic.generate(PROMPT, model=str(toy), tier="sequential", compile=True)
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(cogmagic.RequestError, match="there is none on PATH"):
        cogmagic.generate(PROMPT, model=str(toy), compile=True)
    assert session.loaded is None  # refused before anything was loaded
    assert list(cwd.iterdir()) == []
