"""Blocks that are streamed, and blocks that stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import cogmagic
from cogmagic._machine.ram import Ram
from cogmagic._pipeline.load import load
from cogmagic._pipeline.spec import PipelineSpec
from cogmagic._session.session import Session
from cogmagic._tiers.stream import stream_indices
from tests.helpers.pipelines import tensors, traces
from tests.helpers.placing import placed
from tests.helpers.toy import PROMPT


def test_pipeline_computes_on_the_device_with_every_block_resident(toy: Path) -> None:
    """With kept prompts, too, when nothing is streamed that could tell the device."""
    from diffusers.hooks.group_offloading import _get_group_onload_device

    pipe, cpu = load(PipelineSpec(toy, "t2v", "float32")), torch.device("cpu")
    count = len(pipe.transformer.transformer_blocks)
    with placed(pipe, "stream", cpu, resident=count, encodes=False):
        assert _get_group_onload_device(pipe.transformer) == cpu
        assert pipe.text_encoder is None


def test_resident_blocks_are_spread_evenly_and_leave_after_denoising(pipe: Any) -> None:
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


def test_streaming_from_too_little_host_memory_is_refused(
    toy: Path, cwd: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cogmagic._session.loaded.host_ram", lambda: Ram(2**30, 2**29, mine=2**28))
    with pytest.raises(cogmagic.TierError, match=r"RAM for copies .* 0.75 GiB are available"):
        cogmagic.generate(PROMPT, model=str(toy), tier="stream", seed=3, num_inference_steps=1)
    assert session.loaded is not None
    assert session.loaded.pinned is None
    cogmagic.generate(PROMPT, model=str(toy), tier="sequential", seed=3, num_inference_steps=1)
