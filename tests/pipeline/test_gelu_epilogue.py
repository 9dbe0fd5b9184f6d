"""GELU in the epilogue of the product before it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers.models.activations import GELU
from torch import nn

from cogmagic._pipeline.gelu_epilogue import gelu_in_epilogue
from cogmagic._pipeline.storage import STORAGES


class Block(nn.Module):
    """A block's feed-forward layer."""

    def __init__(self, approximate: str = "tanh", *, bias: bool = True) -> None:
        super().__init__()
        self.ff = nn.ModuleList([GELU(64, 256, approximate=approximate, bias=bias)])

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.ff[0](inputs)
        return out


def test_epilogue_is_on_while_the_context_lasts_and_changes_nothing_on_a_cpu() -> None:
    block, inputs = Block(), torch.randn(2, 33, 64)
    before = block(inputs)
    with gelu_in_epilogue(block):
        assert type(block.ff[0]) is not GELU
        assert torch.equal(block(inputs), before)
    assert type(block.ff[0]) is GELU


def test_epilogue_is_removed_after_an_error() -> None:
    block = Block()
    with pytest.raises(KeyboardInterrupt), gelu_in_epilogue(block):
        raise KeyboardInterrupt
    assert type(block.ff[0]) is GELU


def with_hook(block: Any) -> None:
    block.ff[0].proj.register_forward_pre_hook(lambda *_: None)


def in_fp8(block: Any) -> None:
    transformer = nn.Module()
    transformer.transformer_blocks = nn.ModuleList([block])
    STORAGES["fp8"].store(transformer)


def with_adapter(block: Any) -> None:
    block.ff[0].proj.__class__ = type("LinearWithAdapters", (nn.Linear,), {})


def placed_by_accelerate(block: Any) -> None:
    from accelerate.hooks import ModelHook, add_hook_to_module

    add_hook_to_module(block.ff[0].proj, ModelHook())


@pytest.mark.parametrize("change", [with_hook, in_fp8, with_adapter, placed_by_accelerate])
def test_other_layers_stay_as_they_are(change: Any) -> None:
    block = Block()
    change(block)
    with gelu_in_epilogue(block):
        assert type(block.ff[0]) is GELU


@pytest.mark.parametrize("block", [Block("none"), Block(bias=False)])
def test_other_activations_and_products_without_bias_stay(block: Block) -> None:
    with gelu_in_epilogue(block):
        assert type(block.ff[0]) is GELU


def test_all_blocks_share_one_code() -> None:
    blocks, inputs, graphs = [Block() for _ in range(3)], torch.randn(2, 33, 64), []

    def counting(graph: Any, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    torch.compiler.reset()
    for block in blocks:
        with gelu_in_epilogue(block):
            torch.compile(block.forward, backend=counting, fullgraph=True, dynamic=False)(inputs)
    assert len(graphs) == 1


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_epilogue_is_nearer_to_float32_than_the_pass_of_its_own(dtype: torch.dtype) -> None:
    block, inputs = Block().to("cuda", dtype), torch.randn(2, 333, 64, device="cuda", dtype=dtype)
    exact = Block().cuda()
    exact.load_state_dict(block.state_dict())
    truth = exact(inputs.float())
    with torch.no_grad():
        apart = (block(inputs).float() - truth).norm()
        with gelu_in_epilogue(block):
            code = torch.compile(block, fullgraph=True, dynamic=False)
            together = (code(inputs).float() - truth).norm()
    assert together <= apart * 1.01
