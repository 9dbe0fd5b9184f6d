"""Installed attention kernels on a real GPU; without one of them, its test is skipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import cogmagic
from cogmagic import RequestError
from cogmagic._machine.kernels import installed_kernels
from cogmagic._pipeline.attention.check import compare
from cogmagic._pipeline.attention.operator import operator
from cogmagic._pipeline.attention.registry import KERNELS, MAX_DIFFERENCE_IN_SPEEDS
from cogmagic._session.session import Session
from tests.helpers.toy import PROMPT

CARD = torch.device("cuda", 0)


def usable(dtype: str) -> list[str]:
    capability = torch.cuda.get_device_capability(CARD)
    return [
        name for name in installed_kernels() if not KERNELS[name].refusal(capability, dtype, 64)
    ]


@pytest.mark.parametrize("name", KERNELS)
def test_installed_kernel_is_near_torchs_and_compiles_as_one_graph(name: str) -> None:
    if name not in usable("bfloat16"):
        pytest.skip(f"{name} is not installed, or not for this GPU")
    compared, _ = compare(name, CARD, "bfloat16", 64)
    assert compared.difference is not None, compared.reason
    assert compared.difference <= (MAX_DIFFERENCE_IN_SPEEDS if KERNELS[name].in_speeds else 0.1)
    query, key = (torch.randn(2, 4, 333, 64, device=CARD, dtype=torch.bfloat16) for _ in "qk")
    value = torch.randn(2, 333, 4, 64, device=CARD, dtype=torch.bfloat16).transpose(1, 2)

    attention = operator()

    def attend(*tensors: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = attention(*tensors, name).transpose(1, 2).flatten(2) * 2
        return result

    code = torch.compile(attend, fullgraph=True, dynamic=False)
    before = torch.cuda.current_device()
    with torch.no_grad():
        eager, compiled = attend(query, key.clone(), value), code(query, key.clone(), value)
    assert torch.equal(eager, compiled)
    assert torch.cuda.current_device() == before


@pytest.mark.skipif("torch.cuda.device_count() < 2", reason="needs two GPUs")
def test_kernel_computes_on_another_gpu_than_the_current_one() -> None:
    for name in usable("bfloat16"):
        here, there = (compare(name, torch.device("cuda", i), "bfloat16", 64)[0] for i in (0, 1))
        assert there.difference == here.difference
        assert torch.cuda.current_device() == 0


@pytest.mark.parametrize("speed", ["fast", "faster"])
def test_speed_uses_flash_attention_3_and_names_what_it_leaves_out(
    toy: Path, cwd: Path, session: Session, speed: str
) -> None:
    options: dict[str, Any] = {"model": str(toy), "seed": 1, "num_inference_steps": 2}
    video = cogmagic.generate(PROMPT, **options, speed=speed, dtype="bfloat16")
    if "fa3" in usable("bfloat16"):
        assert "fa3" in video.report.speedups
        with pytest.raises(RequestError, match="computes in bfloat16, and this run in float16"):
            cogmagic.generate(PROMPT, **options, attention="fa3", dtype="float16")
    else:
        assert "FlashAttention-3" in video.report.reason
