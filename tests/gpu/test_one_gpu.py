"""On a real NVIDIA GPU: memory that comes back, identical frames, GPUs found without a context."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import cogmagic
from cogmagic import Cancelled, Progress
from cogmagic._machine.gpu import context_bytes
from cogmagic._pipeline.load import load
from cogmagic._pipeline.spec import PipelineSpec
from cogmagic._session import session as session_module
from cogmagic._session.session import Session
from cogmagic._units import GIB, MIB
from tests.helpers.lora_files import LINEARS, write_lora
from tests.helpers.toy import PROMPT


def allocated() -> int:
    return torch.cuda.memory_allocated(0)


def test_gpus_are_detected_in_torchs_order_without_a_cuda_context() -> None:
    code = """
import json, sys, cogmagic, pynvml
first = cogmagic.Machine.detect()
second = cogmagic.Machine.detect()
import torch
there = [str(torch.cuda.get_device_properties(i).uuid) for i in range(torch.cuda.device_count())]
third = cogmagic.Machine.detect()
facts = lambda m: [(g.index, g.uuid, g.name, g.total, g.free, g.capability) for g in m.gpus]
print(json.dumps([facts(first), facts(second), there, facts(third), first.note]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second, there, third, note = json.loads(done.stdout)
    assert [g[1].removeprefix("GPU-") for g in first] == there
    assert [g[1] for g in third] == [g[1] for g in first]
    assert note is None
    for one, two in zip(first, second, strict=True):
        assert abs(one[4] - two[4]) < 64 * MIB, "a CUDA context would take hundreds of MiB"
        assert one[5] is not None


@pytest.mark.parametrize("tier", ["none", "model", "stream", "staged", "sequential"])
def test_gpu_is_empty_after_a_run(toy: Path, cwd: Path, session: Session, tier: str) -> None:
    torch.zeros(1, device="cuda")
    before = allocated()
    video = cogmagic.generate(PROMPT, model=str(toy), tier=tier, seed=1, num_inference_steps=2)
    assert allocated() - before < MIB
    assert video.report.peak_vram is not None
    assert video.report.peak_vram > before
    assert "peak VRAM 0.0" in video.facts_line()
    assert session.loaded is not None


@pytest.mark.parametrize("tier", ["none", "model", "stream", "staged", "sequential"])
@pytest.mark.parametrize("phase", ["encode", "denoise", "decode"])
@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_gpu_is_empty_after_a_failed_run(
    toy: Path, cwd: Path, session: Session, tier: str, phase: str, stop: Any
) -> None:
    torch.zeros(1, device="cuda")
    before = allocated()

    def fail(progress: Progress) -> None:
        if progress.phase == phase and progress.done == bool(progress.total):
            raise stop("injected")

    with pytest.raises(Cancelled if stop is KeyboardInterrupt else stop):
        cogmagic.generate(PROMPT, model=str(toy), tier=tier, on_progress=fail, seed=1)
    assert allocated() - before < MIB


def test_real_out_of_memory_is_a_one_line_error_and_leaves_the_gpu_empty(
    toy: Path, cwd: Path, session: Session
) -> None:
    torch.zeros(1, device="cuda")
    before = allocated()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((before + 16 * MIB) / total)
    try:
        with pytest.raises(cogmagic.OutOfMemoryError, match="memory with no offload") as error:
            cogmagic.generate(PROMPT, model=str(toy), tier="none", seed=1, num_inference_steps=1)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "\n" not in str(error.value)
    assert allocated() - before < MIB


def test_vram_limit_applies_to_the_allocator_during_the_run_only(
    toy: Path, cwd: Path, session: Session
) -> None:
    """With a tensor of the kernel's own, which the allocator counts, too."""
    torch.zeros(1, device="cuda")
    before = allocated()
    total, share = torch.cuda.get_device_properties(0).total_memory, 0.9
    seen: set[float] = set()

    def look(progress: Progress) -> None:
        if progress.phase == "denoise":
            seen.add(torch.cuda.get_per_process_memory_fraction(0))

    torch.cuda.set_per_process_memory_fraction(share)
    try:
        wish: dict[str, Any] = {"model": str(toy), "gpus": 0, "seed": 1, "num_inference_steps": 2}
        cogmagic.generate(PROMPT, vram_limit=2 * GIB, on_progress=look, **wish)
        assert list(seen) == [pytest.approx((2 * GIB - context_bytes()) / total)]
        assert torch.cuda.get_per_process_memory_fraction(0) == pytest.approx(share)
        mine = torch.empty(3 * GIB // 2, dtype=torch.uint8, device="cuda")
        assert not cogmagic.plan(model=str(toy), gpus=0, vram_limit=2 * GIB).fits
        with pytest.raises(cogmagic.OutOfMemoryError):
            cogmagic.generate(PROMPT, vram_limit=2 * GIB, tier="none", **wish)
        assert torch.cuda.get_per_process_memory_fraction(0) == pytest.approx(share)
        assert abs(allocated() - before - mine.numel()) < MIB
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_other_tensors_of_the_kernel_are_not_recorded_for_the_model(
    toy: Path, cwd: Path, session: Session
) -> None:
    wish: dict[str, Any] = {"model": str(toy), "tier": "none", "seed": 1, "gpus": 0}
    wish |= {"num_inference_steps": 3}
    alone = cogmagic.generate(PROMPT, **wish).report
    mine = torch.empty(256 * MIB, dtype=torch.uint8, device="cuda")
    beside = cogmagic.generate(PROMPT, **wish).report
    assert abs(beside.held_before[0] - mine.numel()) < MIB
    assert abs((beside.peak_vram or 0) - (alone.peak_vram or 0) - mine.numel()) < MIB
    assert abs((beside.own_peak or 0) - (alone.own_peak or 0)) < MIB
    past = [p.measured_allocated for p in cogmagic.Machine.detect().past]
    assert past == [alone.own_peak, beside.own_peak]
    assert alone.peak_ram is not None
    assert alone.peak_ram > GIB // 4


def test_gpu_is_probed_whatever_the_default_device(toy: Path, cwd: Path, session: Session) -> None:
    wish: dict[str, Any] = {"model": str(toy), "gpus": 0, "seed": 1, "num_inference_steps": 2}
    torch.zeros(1, device="cuda")
    drawn = torch.cuda.get_rng_state(0)
    with torch.device("cuda"), pytest.MonkeyPatch.context() as patch:
        patch.setattr("cogmagic._session.calibration._probed", set())
        cogmagic.generate(PROMPT, **wish)
    rates = cogmagic.Machine.detect(gpus=["0"]).rates
    assert rates is not None
    assert (rates.source, rates.probes) == ("probe", 1)
    assert 1e-5 < rates.tensor < 1e-2  # seconds that the host takes for a tensor
    assert min(rates.products, rates.attention) > 1e12
    assert torch.equal(torch.cuda.get_rng_state(0), drawn)


def test_equal_seeds_give_equal_frames_in_every_tier(
    toy: Path, cwd: Path, session: Session
) -> None:
    digests = {
        cogmagic.generate(
            PROMPT, model=str(toy), tier=tier, seed=3, num_inference_steps=2
        ).report.frames_sha256
        for tier in ("none", "model", "stream", "staged", "sequential")
    }
    assert len(digests) == 1


def test_adapters_give_equal_frames_in_every_tier_and_go(
    toy: Path, cwd: Path, session: Session
) -> None:
    torch.zeros(1, device="cuda")
    before, transformer = allocated(), load(PipelineSpec(toy, "t2v", "float32")).transformer
    loras = [
        write_lora(cwd / "first.safetensors", transformer),
        (write_lora(cwd / "second.safetensors", transformer, kinds=LINEARS, seed=1), -0.5),
    ]

    def digest(loras: Any, **options: Any) -> str:
        options |= {"model": str(toy), "seed": 1, "num_inference_steps": 2, "lora": loras}
        digest = cogmagic.generate(PROMPT, **options).report.frames_sha256
        if options.get("keep") != "hot":
            assert allocated() - before < MIB
        return digest

    plain = digest([], tier="none")
    adapted = {t: digest(loras, tier=t) for t in ("none", "model", "stream", "staged")}
    adapted["sequential"] = digest(loras, tier="sequential")
    adapted["hot"] = digest(loras, tier="none", keep="hot")
    adapted["hot again"] = digest(loras, tier="none", keep="hot")
    assert len(set(adapted.values())) == 1
    assert plain not in adapted.values()
    assert digest([], tier="none", keep="hot") == plain
    assert digest(loras, tier="none", fp8=True) not in {plain, *adapted.values()}
    assert digest([], tier="none") == plain


def test_streamed_blocks_are_prefetched(toy: Path, cwd: Path, session: Session) -> None:
    ahead: list[bool] = []

    def look(progress: Progress) -> None:
        loaded = session_module.session().loaded
        if progress.phase == "denoise" and progress.done == 2 and loaded is not None:
            for block in loaded.pipe.transformer.transformer_blocks[:-1]:
                hook = block._diffusers_hook.get_hook("group_offloading")
                ahead.append(hook.next_group is not None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "cogmagic._tiers.stream.stream_indices", lambda count, _: frozenset(range(count))
        )
        cogmagic.generate(
            PROMPT, model=str(toy), tier="stream", seed=3, num_inference_steps=2, on_progress=look
        )
    assert ahead
    assert all(ahead)


def test_refused_page_lock_is_reported_and_the_run_succeeds(
    toy: Path, cwd: Path, session: Session
) -> None:
    """Memory that is registered already is refused for real, and CUDA tells it once more later."""
    expected = cogmagic.generate(PROMPT, model=str(toy), seed=3, num_inference_steps=2)
    loaded = session_module.session().loaded
    assert loaded is not None
    host = loaded.pinned
    assert host is not None
    assert len(host.locked) == 3
    host.unlock()
    runtime = torch.cuda.cudart()
    block = host._blocks[1]
    assert int(runtime.cudaHostRegister(block.data_ptr(), block.numel(), 0)) == 0
    try:
        video = cogmagic.generate(
            PROMPT, model=str(toy), tier="stream", seed=3, num_inference_steps=2
        )
        assert len(host.locked) == 1
        assert "the driver refused to page-lock" in video.report.reason
        assert video.report.frames_sha256 == expected.report.frames_sha256
    finally:
        runtime.cudaHostUnregister(block.data_ptr())


def test_hot_weights_stay_on_the_gpu_until_release(toy: Path, cwd: Path, session: Session) -> None:
    before = allocated()
    wish: dict[str, Any] = {"model": str(toy), "tier": "none", "seed": 3}
    wish |= {"num_inference_steps": 2, "keep": "hot"}
    first = cogmagic.generate(PROMPT, **wish)
    assert session.loaded is not None
    weights = session.loaded.pipe.transformer.proj_out.weight
    where, held = weights.data_ptr(), allocated() - before
    assert weights.is_cuda
    assert 0 <= held - sum(session.slot.hot.nbytes.values()) < MIB
    assert first.report.kept == "weights stay on the GPU"
    assert "GiB on the GPU" in str(cogmagic.status())
    second = cogmagic.generate(PROMPT, **wish)
    assert weights.data_ptr() == where
    assert second.report.frames_sha256 == first.report.frames_sha256
    assert second.report.peak_vram is not None
    assert abs(second.report.peak_vram - (first.report.peak_vram or 0)) < MIB
    assert abs(allocated() - before - held) < MIB
    cogmagic.release()
    assert allocated() - before < MIB


@pytest.mark.parametrize("phase", ["load", "denoise", "save"])
@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_hot_weights_leave_the_gpu_after_a_failed_run(
    toy: Path, cwd: Path, session: Session, phase: str, stop: Any
) -> None:
    torch.zeros(1, device="cuda")
    before = allocated()

    def fail(progress: Progress) -> None:
        if progress.phase == phase:
            raise stop("injected")

    wish: dict[str, Any] = {"model": str(toy), "tier": "none", "seed": 3}
    wish |= {"num_inference_steps": 2, "keep": "hot"}
    cogmagic.generate(PROMPT, **wish)
    with pytest.raises(Cancelled if stop is KeyboardInterrupt else stop):
        cogmagic.generate(PROMPT, on_progress=fail, **wish)
    assert allocated() - before < MIB
