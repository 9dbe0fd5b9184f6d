"""Compiled transformer blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import cogmagic
from cogmagic._pipeline import compile as _compile
from cogmagic._pipeline.load import load
from cogmagic._pipeline.spec import PipelineSpec
from cogmagic._session.session import Session
from cogmagic._video.formats.mp4 import MP4
from tests.helpers.lora_files import write_lora
from tests.helpers.pipelines import traces
from tests.helpers.toy import PROMPT, QUICK


@pytest.mark.slow
@pytest.mark.parametrize("tier", ["none", "model", "stream"])
def test_compiled_blocks_give_near_frames_and_are_restored(
    toy: Path, cwd: Path, session: Session, tier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {
        "model": str(toy), "tier": tier, "seed": 3, "num_inference_steps": 2, "compile": True,
    }  # fmt: skip
    frames: list[Any] = []

    def write(path: Path, clip: Any, *rest: Any) -> None:
        frames.append(clip)
        original(path, clip, *rest)

    original = MP4.write
    monkeypatch.setattr(MP4, "write", write)
    cogmagic.generate(PROMPT, **(options | {"compile": False}))
    _compile._COMPILED.clear()
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


@pytest.mark.slow
def test_compiled_blocks_follow_the_weight_of_an_adapter(
    toy: Path, cwd: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames: list[Any] = []

    def write(path: Path, clip: Any, *rest: Any) -> None:
        frames.append(clip.astype(int))
        original(path, clip, *rest)

    original = MP4.write
    monkeypatch.setattr(MP4, "write", write)
    file = write_lora(
        cwd / "red.safetensors", load(PipelineSpec(toy, "t2v", "float32")).transformer
    )

    def seconds(weight: float, *, by_compiler: bool) -> Any:
        options = QUICK | {"model": str(toy), "lora": (file, weight), "compile": by_compiler}
        return cogmagic.generate(PROMPT, **options).report.seconds

    for weight in (1.0, -4.0):
        seconds(weight, by_compiler=False)
    _compile._COMPILED.clear()
    for weight in (1.0, -4.0):
        assert "compile" in seconds(weight, by_compiler=True)
    assert "compile" not in seconds(1.0, by_compiler=True)  # its code is still there
    one, other, *compiled = frames
    assert abs(one - other).max() > 4
    for clip, expected in zip(compiled, (one, other, one), strict=True):
        assert abs(clip - expected).max() <= 2  # of 255


def test_compile_is_refused_without_a_compiler_and_with_sequential_offload(
    toy: Path, cwd: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        cogmagic.TierError, match="compile=True does not work with tier 'sequential'"
    ):
        cogmagic.generate(PROMPT, model=str(toy), tier="sequential", compile=True)
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(cogmagic.RequestError, match=r"no C\+\+ compiler is on PATH"):
        cogmagic.generate(PROMPT, model=str(toy), compile=True)
    for switch in ("TORCHDYNAMO_DISABLE", "TORCH_COMPILE_DISABLE"):
        monkeypatch.setenv(switch, "1")
        with pytest.raises(cogmagic.RequestError, match=f"{switch}=1 is set"):
            cogmagic.generate(PROMPT, model=str(toy), compile=True)
    assert session.loaded is None  # refused before anything was loaded
    assert list(cwd.iterdir()) == []


def test_compiler_that_fails_is_one_line_with_what_to_type() -> None:
    import torch

    def failing(text: str) -> Any:
        def backend(graph: Any, inputs: Any) -> Any:
            raise RuntimeError(text)

        return torch.compile(lambda x: x + 1, backend=backend)

    text = "Compile error\n\nOutput:\nlaunch.c:3: fatal error: Python.h: No such file"
    with pytest.raises(cogmagic.RequestError) as raised, _compile.compiling(lambda _: None):
        failing(text)(torch.ones(1))
    assert str(raised.value) == (
        "torch cannot compile the transformer's blocks here (launch.c:3: fatal error: Python.h: No"
        " such file). Install Python's headers (apt-get install python3-dev). To run without"
        " compiling, leave out --compile and type --speed exact."
    )
    assert not _compile._RUNS
    with pytest.raises(RuntimeError) as short, _compile.compiling(lambda _: None):
        failing("CUDA out of memory")(torch.ones(1))
    assert not isinstance(short.value, cogmagic.CogMagicError)  # the next plan is tried


def test_products_are_not_timed_beside_padded_copies_while_compiling() -> None:
    import torch._inductor.config as config

    before = config.shape_padding
    with _compile.compiling(lambda _: None):
        assert not config.shape_padding
    assert config.shape_padding is before


def test_code_is_dropped_before_torch_would_stop_compiling(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    monkeypatch.setattr(_compile, "_COMPILED", set(range(32)))
    with _compile.compiling(lambda _: None):
        assert len(_compile._COMPILED) == 32
    _compile._COMPILED.add("one more")
    with _compile.compiling(lambda _: None):
        assert not _compile._COMPILED
        assert not torch._dynamo.config.suppress_errors


@pytest.mark.parametrize("tier", ["stream", "none"])
def test_blocks_of_a_batch_stay_compiled_below_the_hooks_of_their_tier(
    toy: Path, cwd: Path, session: Session, tier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compile_nothing(forward: Any, *, dynamic: bool) -> Any:
        return lambda *args, **kwargs: forward(*args, **kwargs)

    monkeypatch.setattr("torch.compile", compile_nothing)
    forwards: list[Any] = []

    def look(progress: cogmagic.Progress) -> None:
        if progress.phase == "denoise" and progress.done == 1 and session.loaded:
            forwards.append(session.loaded.pipe.transformer.transformer_blocks[1].forward)

    options = QUICK | {"model": str(toy), "tier": tier, "compile": True}
    assert len(list(cogmagic.generate_many([PROMPT, "b"], **options, on_progress=look))) == 2
    assert forwards[0] is forwards[1]
    assert session.loaded is not None
    assert traces(session.loaded.pipe) == []
