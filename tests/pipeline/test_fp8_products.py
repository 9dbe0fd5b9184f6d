"""Products in fp8, by the weights of fp8 storage."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from cogmagic._footprint.savings import Savings
from cogmagic._pipeline.adapters import _with_adapters
from cogmagic._pipeline.storage import STORAGES, has_fp8_products, storage_options
from cogmagic._pipeline.storage.fp8 import fp8_linear
from cogmagic._pipeline.storage.fp8_products import fp8_product_linear

DTYPES = (torch.float16, torch.bfloat16, torch.float32)


def transformer(*sides: int, bias: bool = True, dtype: torch.dtype = torch.float32) -> Any:
    """A transformer of one block, with layers between these numbers of features."""
    torch.manual_seed(0)
    layers = [nn.Linear(a, b, bias=bias) for a, b in pairwise(sides)]
    module = nn.Module()
    module.transformer_blocks = nn.ModuleList([nn.Sequential(*layers)])
    return module.to(dtype)


def converted(*sides: int, name: str = "fp8_products", **options: Any) -> Any:
    """The block of such a transformer in a storage."""
    module = transformer(*sides, **options)
    STORAGES[name].store(module)
    return module.transformer_blocks[0].requires_grad_(False)


def relative(outputs: torch.Tensor, expected: torch.Tensor) -> float:
    return float((outputs.double() - expected.double()).norm() / expected.double().norm())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_product_is_that_of_both_sides_with_a_scale_per_row(
    dtype: torch.dtype, bias: bool
) -> None:
    layer = converted(64, 48, bias=bias, dtype=dtype)[0]
    # Rows of very different sizes: one scale for all would lose the small ones.
    inputs = (torch.randn(2, 5, 64) * torch.logspace(-3, 3, 5)[:, None]).to(dtype)
    rows = inputs.double().view(-1, 64)
    scales = rows.abs().amax(1, keepdim=True) / 448
    narrow = (rows / scales).float().to(torch.float8_e4m3fn).double()
    expected = (narrow * scales) @ (layer.weight.double() * layer.scale).t()
    if bias:
        expected = expected + layer.bias
    outputs = layer(inputs)
    assert outputs.dtype == dtype
    assert outputs.shape == (2, 5, 48)
    for row, wanted in zip(outputs.view(-1, 48), expected, strict=True):
        assert relative(row, wanted) < {2: 5e-3, 4: 2e-5}[inputs.element_size()]
    wide = transformer(64, 48, bias=bias, dtype=dtype).transformer_blocks[0](inputs)
    assert 0.005 < relative(outputs, wide) < 0.06


def test_the_product_is_that_of_torch() -> None:
    layer = converted(64, 48)[0]
    inputs = torch.randn(10, 64)
    scales = inputs.abs().amax(1, keepdim=True) / 448
    try:
        outputs = torch._scaled_mm(
            (inputs / scales).to(torch.float8_e4m3fn), layer.weight.t(),
            scale_a=scales, scale_b=layer.scale.t(), out_dtype=torch.float32,
        )  # fmt: skip
    except RuntimeError:
        pytest.skip("this torch has no fp8 products on a CPU")
    assert relative(layer(inputs), outputs + layer.bias) < 1e-5


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_zeros_are_the_bias_and_damaged_rows_damage_no_others(dtype: torch.dtype) -> None:
    layer = converted(32, 16, dtype=dtype)[0]
    inputs = torch.randn(4, 32, dtype=dtype)
    inputs[0] = 0
    inputs[1, 3], inputs[2, 5] = torch.nan, torch.inf
    outputs = layer(inputs)
    assert torch.equal(outputs[0], layer.bias)
    assert outputs[1:3].isnan().all()
    assert outputs[3].isfinite().all()


@pytest.mark.parametrize("number", [6e4, 1e-6])
def test_no_number_is_too_large_or_small_in_float16(number: float) -> None:
    layer = converted(32, 16, bias=False, dtype=torch.float16)[0]
    layer.scale.mul_(0.1 / number)  # the products are neither
    inputs = torch.full((3, 32), number, dtype=torch.float16)
    expected = inputs.double() @ (layer.weight.double() * layer.scale).t()
    assert relative(layer(inputs), expected) < 5e-3


def test_layers_of_other_than_multiples_of_16_are_widened() -> None:
    products, widened = converted(32, 48, 40, 16), converted(32, 48, 40, 16, name="fp8")
    kinds = [fp8_product_linear(), fp8_linear(), fp8_linear()]
    assert [type(layer) for layer in products] == kinds
    inputs = torch.randn(3, 48)
    assert torch.equal(products[1](inputs), widened[1](inputs))
    weights = [[p.nbytes for p in block.parameters()] for block in (products, widened)]
    assert weights[0] == weights[1]


def test_adapters_are_computed_beside_fp8_products() -> None:
    layer = converted(32, 16)[0]
    inputs = torch.randn(2, 3, 32)
    down, up = torch.randn(4, 32), torch.randn(16, 4)
    expected = layer(inputs) + inputs @ down.t() @ up.t() * 0.5
    layer.lora_scales, layer.lora_down_0, layer.lora_up_0 = (0.5,), down, up
    layer.__class__ = _with_adapters(type(layer))
    assert relative(layer(inputs), expected) < 1e-6


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_layers_compile_as_one_graph(dtype: torch.dtype) -> None:
    block = converted(64, 128, 32, dtype=dtype)
    inputs = torch.randn(2, 7, 64, dtype=dtype)
    compiled = torch.compile(block, backend="eager", fullgraph=True, dynamic=False)
    assert relative(compiled(inputs), block(inputs)) < 1e-3


def test_weights_are_those_of_fp8() -> None:
    products, widened = converted(32, 48), converted(32, 48, name="fp8")
    for mine, theirs in zip(products.parameters(), widened.parameters(), strict=True):
        assert torch.equal(mine.float(), theirs.float())
        assert mine.dtype == theirs.dtype


def test_only_ada_and_hopper_have_fp8_products() -> None:
    capabilities = [(7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0), None]
    assert [c for c in capabilities if has_fp8_products(c)] == [(8, 9), (9, 0)]


def test_fp8_products_are_no_option_of_their_own() -> None:
    assert "fp8_products" in STORAGES
    assert "fp8_products" not in storage_options()
    savings = Savings(storage="fp8_products", lean_decode=True)
    assert savings.flags == "--lean-decode --fp8"
    assert savings.names == ("lean_decode", "fp8")
    assert {s.storage for s in Savings().more()} == {"", "fp8"}
    assert {s.storage for s in savings.more()} == {"fp8_products"}


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_gpu_computes_the_products_of_a_cpu(dtype: torch.dtype) -> None:
    if not has_fp8_products(torch.cuda.get_device_capability()):
        pytest.skip("this GPU has no fp8 products")
    module, device = transformer(256, 512, dtype=dtype), torch.device("cuda")
    STORAGES["fp8_products"].store(module, device)
    layer = module.transformer_blocks[0][0].requires_grad_(False)
    inputs = torch.randn(2, 50, 256, dtype=dtype)
    expected = layer(inputs)
    assert relative(layer.to(device)(inputs.to(device)).cpu(), expected) < 5e-3
