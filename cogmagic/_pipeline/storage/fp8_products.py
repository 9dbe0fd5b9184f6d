"""fp8 products: the weights of fp8 storage, multiplied as they are by inputs in fp8.

GPUs of the Ada and Hopper generations multiply fp8 numbers twice as fast as 16-bit ones. Each row
of a layer's input (the features of one token) gets a scale while the layer runs, as each row of its
weight got one in storing: ``output = (input8 @ weight8.T) * input_scale * weight_scale + bias``,
summed in float32 (``torch._scaled_mm`` with row-wise scales).

torchao's ``Float8DynamicActivationFloat8WeightConfig(PerRow())`` is as fast, but its first compiled
step took 250 s on an H100, and that of this layer 12 to 15 s.
"""

from __future__ import annotations

from functools import cache
from math import inf
from typing import TYPE_CHECKING

from cogmagic._pipeline.storage.fp8 import LARGEST, LEAST, Fp8

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

__all__ = ["Fp8Products", "fp8_product_linear", "has_fp8_products"]


_CAPABILITIES = ((8, 9), (9, 0))
"""Ada and Hopper. Newer GPUs have fp8 products, too, but this layer was not measured there."""
_MULTIPLE = 16
"""What the features of both sides must be multiples of in ``torch._scaled_mm`` on a GPU."""


def has_fp8_products(capability: tuple[int, int] | None) -> bool:
    """Whether ``--fp8`` computes fp8 products on GPUs of a compute capability.

    An unknown one (None), such as that of an AMD GPU, counts as one without.
    """
    return capability in _CAPABILITIES


class Fp8Products(Fp8):
    """The weights of `Fp8`, and inputs that are narrowed to fp8 for each product."""

    name = "fp8_products"
    title = "fp8 products"
    chosen_by = "fp8"

    def scratch(self, largest: int) -> tuple[int, int]:
        """Nothing with whole components, and layer by layer what small clips may need.

        A block is at its peak in the feed-forward's activation, with 12.2 times its hidden states
        alive; in the product after it are 9.2 times, and the input in fp8 adds twice. Layer by
        layer the weights count, too: where a clip's tokens are 1.3 times the width, as many bytes
        as a sixth of the largest layer are missing at most.
        """
        return 0, largest // 6

    def compiled_scratch(self, hidden: int, itemsize: int) -> int:
        """The hidden states again in 16 bits: 7.0 times are alive, and without fp8 products 6.0.

        The output of the feed-forward's first product (4) is alive beside its activation in fp8
        and the residual (1); else the first product's input (1) is. Measured with one block of 5b
        and one of 2b on an H200, with and without adapters (docs/speed.md).
        """
        return max(4 * hidden // itemsize - hidden, 0)

    def convert(self, linear: nn.Linear, dtype: torch.dtype, device: torch.device) -> None:
        """Make it a layer of fp8 products; with features of no multiple of 16, one that widens."""
        if linear.in_features % _MULTIPLE or linear.out_features % _MULTIPLE:
            super().convert(linear, dtype, device)
            return
        linear.__class__ = fp8_product_linear()
        linear.product_dtype = _product_dtype(dtype, device)  # type: ignore[assignment]


@cache
def fp8_product_linear() -> type[nn.Linear]:
    """The class of converted layers; made on first use, so that the registry needs no torch."""
    from torch.nn import Linear

    class Fp8ProductLinear(Linear):
        """A linear layer whose weight is in fp8 with a scale per row, and its inputs like it."""

        scale: torch.Tensor
        product_dtype: torch.dtype
        """The dtype in which the product is written: the inputs' where the GPU can."""

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            """The product in the dtype of `inputs`."""
            outputs = self._product(inputs.reshape(-1, self.in_features)).to(inputs.dtype)
            return outputs.view(*inputs.shape[:-1], self.out_features)

        def _product(self, inputs: torch.Tensor) -> torch.Tensor:
            """The product in `product_dtype`; what is narrowed for it goes before it is widened."""
            rows, scales = _narrowed(inputs)
            return _product(rows, self.weight, scales, self.scale, self.bias, self.product_dtype)

    return Fp8ProductLinear


def _narrowed(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The rows in fp8, and a scale for each: float32, rows × 1.

    NaN and infinity in a row make NaN of all its products.
    """
    import torch

    largest = torch.linalg.vector_norm(rows, inf, 1, keepdim=True, dtype=torch.float32)
    largest = largest.clamp_min(LEAST)
    factors = LARGEST / largest
    if torch.compiler.is_compiling():  # which fuses it all into one kernel
        narrow = (rows * factors).to(torch.float8_e4m3fn)
    else:  # at once, without an intermediate result in float32
        narrow = torch.empty_like(rows, dtype=torch.float8_e4m3fn)
        torch.mul(rows, factors, out=narrow)
    return narrow, largest / LARGEST


def _product(
    rows: Tensor,
    weight: Tensor,
    scales: Tensor,
    weight_scales: Tensor,
    bias: Tensor | None,
    dtype: torch.dtype,
) -> Tensor:
    """The product of `rows` and the transposed `weight`, both in fp8, in `dtype`.

    Args:
        rows: rows × inputs.
        weight: outputs × inputs; its transpose is the column-major matrix that the GPU wants.
        scales: rows × 1, float32.
        weight_scales: outputs × 1, float32.
        bias: outputs.
        dtype: the result's.
    """
    import torch

    if rows.is_cuda:
        return torch._scaled_mm(
            rows,
            weight.t(),
            scale_a=scales,
            scale_b=weight_scales.t(),
            bias=None if bias is None else bias.to(dtype),
            out_dtype=dtype,
            use_fast_accum=True,
        )
    # The same numbers on a CPU, whose torch has the operation in some versions only.
    product = (rows.float() @ weight.float().t()) * scales * weight_scales.t()
    return (product if bias is None else product + bias.float()).to(dtype)


@cache
def _product_dtype(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """`dtype` if products on `device` can be written in it, else bfloat16.

    It depends on the GPU and on the version of cuBLAS, so a small product is tried.
    """
    import torch

    if device.type != "cuda":
        return dtype
    ones = torch.ones(_MULTIPLE, _MULTIPLE, dtype=torch.float8_e4m3fn, device=device)
    scales = torch.ones(_MULTIPLE, 1, device=device)
    try:
        _product(ones, ones, scales, scales, torch.ones(_MULTIPLE, device=device), dtype)
    except (RuntimeError, ValueError):
        return torch.bfloat16
    return dtype
