"""Adapters on a transformer's layers, where a loader has hooked them."""

from __future__ import annotations

from pathlib import Path

import torch

from cogmagic._models.adapters.adapter import Adapter
from cogmagic._pipeline.adapters import attach, detach
from cogmagic._pipeline.load import load
from cogmagic._pipeline.spec import PipelineSpec
from tests.helpers.lora_files import LINEARS, write_lora


def test_adapters_reach_layers_that_a_device_map_has_hooked(toy: Path, tmp_path: Path) -> None:
    from accelerate.hooks import attach_execution_device_hook

    pipe = load(PipelineSpec(toy, "t2v", "float32"))
    layer = pipe.transformer.transformer_blocks[0].attn1.to_q
    lora = Adapter.of(write_lora(tmp_path / "a.safetensors", pipe.transformer, kinds=LINEARS))
    inputs = torch.randn(2, layer.in_features)
    plain = layer(inputs)
    attach(pipe.transformer, [lora], torch.float32)
    adapted = layer(inputs)
    assert not torch.equal(adapted, plain)
    detach(pipe.transformer)
    assert torch.equal(layer(inputs), plain)

    attach_execution_device_hook(pipe.transformer, "cpu")  # as balanced loading does
    assert hasattr(layer, "_hf_hook")
    attach(pipe.transformer, [lora], torch.float32)
    assert hasattr(layer, "_hf_hook")
    assert torch.equal(layer(inputs), adapted)
