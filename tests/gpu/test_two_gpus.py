"""On a machine with two NVIDIA GPUs: components spread over both, no offload, all given back."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import torch

import cogmagic
from cogmagic import Machine, Progress, TierError
from cogmagic._pipeline.load import load
from cogmagic._pipeline.spec import PipelineSpec
from cogmagic._session.session import Session
from cogmagic._tiers.device_map import misplaced
from cogmagic._units import MIB
from tests.helpers.lora_files import write_lora
from tests.helpers.toy import PROMPT

pytestmark = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")


def allocated() -> list[int]:
    return [torch.cuda.memory_allocated(i) for i in range(torch.cuda.device_count())]


def test_balanced_run_uses_both_gpus_without_offload_and_leaves_them_empty(
    toy: Path, cwd: Path, session: Session
) -> None:
    before = allocated()
    wrong: list[str] = []

    def look(progress: Progress) -> None:
        if progress.phase == "denoise" and session.loaded:
            pipe = session.loaded.pipe
            wrong.append(misplaced(pipe, dict(pipe.hf_device_map)))
            assert pipe.vae.use_slicing
            assert pipe.vae.use_tiling

    spread = cogmagic.generate(
        PROMPT, model=str(toy), tier="balanced", seed=1, num_inference_steps=2, on_progress=look
    )
    assert set(wrong) == {""}
    assert "(cuda:0) + " in spread.report.device
    assert set(spread.report.device_map.values()) == {0, 1}
    assert all(spread.report.peak_allocated[i] > before[i] for i in (0, 1))
    assert max(a - b for a, b in zip(allocated(), before, strict=True)) < MIB
    whole = cogmagic.generate(PROMPT, model=str(toy), tier="none", seed=1, num_inference_steps=2)
    assert spread.report.frames_sha256 == whole.report.frames_sha256


def test_adapters_on_two_gpus_give_the_frames_of_one(
    toy: Path, cwd: Path, session: Session
) -> None:
    lora = write_lora(
        cwd / "lora.safetensors", load(PipelineSpec(toy, "t2v", "float32")).transformer
    )
    options = {"model": str(toy), "seed": 1, "num_inference_steps": 2, "lora": lora}
    digests = {
        tier: cogmagic.generate(PROMPT, tier=tier, **options).report.frames_sha256
        for tier in ("balanced", "none")
    }
    assert len(set(digests.values())) == 1
    assert max(allocated()) < MIB


@pytest.mark.parametrize("phase", ["load", "encode", "denoise", "decode"])
def test_both_gpus_are_empty_after_a_failed_run(
    toy: Path, cwd: Path, session: Session, phase: str
) -> None:
    before = allocated()

    def fail(progress: Progress) -> None:
        if progress.phase == phase:
            raise RuntimeError("injected")

    with pytest.raises(RuntimeError, match="injected"):
        cogmagic.generate(PROMPT, model=str(toy), tier="balanced", seed=1, on_progress=fail)
    assert max(a - b for a, b in zip(allocated(), before, strict=True)) < MIB


def test_release_removes_hot_weights_from_both_gpus(toy: Path, cwd: Path, session: Session) -> None:
    before = allocated()
    options = {"model": str(toy), "tier": "balanced", "seed": 1, "num_inference_steps": 2}
    first = cogmagic.generate(PROMPT, keep="hot", **options)
    assert all(a > b for a, b in zip(allocated(), before, strict=True))
    again = cogmagic.generate(PROMPT, keep="hot", **options)
    assert again.report.frames_sha256 == first.report.frames_sha256
    cogmagic.release()
    assert max(a - b for a, b in zip(allocated(), before, strict=True)) < MIB


def _almost_all_memory(device: str) -> torch.Tensor:
    """A tensor that leaves as little as the driver allows, which differs by card."""
    free, _ = torch.cuda.mem_get_info(device)
    for spare in (16, 24, 32, 48):
        with suppress(torch.OutOfMemoryError):
            return torch.empty(free - spare * MIB, dtype=torch.uint8, device=device)
    raise AssertionError(f"no {(free - 48 * MIB):,} bytes in one piece")


def test_full_gpu_is_not_used(toy: Path, cwd: Path, session: Session) -> None:
    held = _almost_all_memory("cuda:0")
    try:
        assert not cogmagic.plan(model=str(toy), tier="balanced").fits
        with pytest.raises((TierError, cogmagic.OutOfMemoryError)):
            cogmagic.generate(PROMPT, model=str(toy), tier="balanced", seed=1)
        found = cogmagic.plan(model=str(toy))
        assert found.fits
        video = cogmagic.generate(PROMPT, model=str(toy), seed=1, num_inference_steps=2)
        assert "cuda:1" in video.report.device
    finally:
        del held
        torch.cuda.empty_cache()  # for other processes


def test_status_lists_both_gpus(toy: Path, cwd: Path, session: Session) -> None:
    assert len(Machine.detect().gpus) == torch.cuda.device_count()
    shown = str(cogmagic.status())
    assert "GPU 0" in shown
    assert "GPU 1" in shown


def test_later_runs_stay_on_the_gpu_of_the_first(toy: Path, cwd: Path, session: Session) -> None:
    """In a fresh kernel: its CUDA context must not make a GPU seem the less roomy one."""
    code = f"""
import cogmagic, torch
for _ in range(3):
    cogmagic.generate("red", model={str(toy)!r}, seed=1, num_inference_steps=2)
    print("contexts", [torch._C._cuda_hasPrimaryContext(i) for i in (0, 1)])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line for line in done.stdout.splitlines() if line.startswith("contexts")]
    assert len(lines) == 3
    assert len(set(lines)) == 1


@pytest.mark.parametrize("index", [0, 1])
def test_selected_gpu_is_used(toy: Path, cwd: Path, session: Session, index: int) -> None:
    uuid = Machine.detect().gpus[index].uuid
    torch.cuda.reset_peak_memory_stats(1 - index)
    before = allocated()[1 - index]
    for name in (index, uuid):
        video = cogmagic.generate(PROMPT, model=str(toy), gpus=name, seed=1, num_inference_steps=2)
        assert f"cuda:{index}" in video.report.device
    assert torch.cuda.max_memory_allocated(1 - index) == before
