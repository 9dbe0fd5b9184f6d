"""fp8 storage: linear weights in 8 bits with a scale per row, widened for each product.

An fp8 number (e4m3: 3 bits of mantissa) holds a weight divided by its row's largest one over 448,
the format's largest: half the memory of 16 bits, weights off by up to about a sixteenth.

diffusers' ``enable_layerwise_casting`` would store fp8, too, but casts weights as they are: without
a scale, small ones fall under the format's least number. Its hooks also replace ``weight.data``
around each call, which does not go with the copies in host memory that offloading keeps.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from cogmagic._pipeline.storage.base import Storage, narrowable_linears

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["LARGEST", "LEAST", "Fp8", "fp8_linear"]


LARGEST = 448.0
"""The largest number of e4m3."""
LEAST = 1e-12
"""The least row maximum that a scale is computed from, so that rows of zeros have one."""


class Fp8(Storage):
    """Linear weights as e4m3 numbers with a scale per row."""

    name = "fp8"
    help = "transformer in 8 bits: less memory; faster on Ada and Hopper; another picture"

    def refusal(self, device: str) -> str | None:
        """MPS has no such numbers."""
        return "--fp8 does not work on MPS. Leave it out." if device == "mps" else None

    def linear_bytes(self, numel: int, rows: int, itemsize: int) -> int:
        """A byte a number, and a scale per row."""
        return numel + rows * itemsize

    def scratch(self, largest: int) -> tuple[int, int]:
        """The running layer's weight in full; layer by layer, half of it is counted already."""
        return largest, largest // 2

    def store(
        self, transformer: nn.Module, device: torch.device | None = None, *, stay: bool = False
    ) -> None:
        """Convert the linear layers one by one."""
        import torch
        from torch import nn

        blocks = transformer.transformer_blocks
        assert isinstance(blocks, nn.ModuleList)  # noqa: S101 - tells mypy
        for linear in narrowable_linears(blocks):
            home, dtype = linear.weight.device, linear.weight.dtype
            weight = linear.weight.data.to(home if home.type == "meta" else device or home)
            scale = weight.abs().amax(dim=1, keepdim=True).float().clamp_min(LEAST) / LARGEST
            narrow = (weight.float() / scale).to(torch.float8_e4m3fn)
            target = narrow.device if stay else home
            linear.weight = nn.Parameter(narrow.to(target), requires_grad=False)
            linear.scale = nn.Parameter(scale.to(target), requires_grad=False)
            self.convert(linear, dtype, device or home)

    def convert(self, linear: nn.Linear, dtype: torch.dtype, device: torch.device) -> None:
        """Make `linear`, whose weight is narrow, a layer that computes with it.

        Args:
            linear: with its weight and its scales.
            dtype: of the weight as loaded, and of the layer's inputs.
            device: what computes, as far as is known.
        """
        del dtype, device
        linear.__class__ = fp8_linear()


@cache
def fp8_linear() -> type[nn.Linear]:
    """The class of converted layers; made on first use, so that the registry needs no torch."""
    from torch.nn import Linear
    from torch.nn.functional import linear

    class Fp8Linear(Linear):
        """A linear layer whose weight is in fp8, with a scale per row."""

        scale: torch.Tensor

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            """The product in the dtype of `inputs`."""
            weight = self.weight.to(inputs.dtype).mul_(self.scale)
            return linear(inputs, weight, self.bias)

    return Fp8Linear
