"""Weights of linear layers kept in 8 bits, and widened for each product.

An fp8 number (e4m3: 3 bits of mantissa) of a weight divided by its row's largest one over 448, the
format's largest: half the memory, weights off by up to about a sixteenth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Fp8Linear", "store_in_fp8", "wide_linears"]


_FP8 = torch.float8_e4m3fn


_LARGEST = 448.0


class Fp8Linear(nn.Linear):
    """A linear layer whose weight is in fp8, with a scale per row."""

    scale: nn.Parameter

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        """The product in the dtype of `given`."""
        weight = self.weight.to(given.dtype).mul_(self.scale)
        return nn.functional.linear(given, weight, self.bias)


def store_in_fp8(
    transformer: nn.Module, device: torch.device | None = None, *, stay: bool = False
) -> None:
    """Keep the linear layers of the transformer's blocks in fp8, those of the norms as they are.

    Args:
        transformer: its weights are replaced by narrower ones.
        device: what converts, one layer after another; where the weights are if None.
        stay: whether what was converted stays on `device`.
    """
    blocks = transformer.transformer_blocks
    assert isinstance(blocks, nn.ModuleList)  # noqa: S101 - tells mypy
    for linear in wide_linears(blocks):
        home = linear.weight.device
        weight = linear.weight.data.to(home if home.type == "meta" else device or home)
        scale = weight.abs().amax(dim=1, keepdim=True).float().clamp_min(1e-12) / _LARGEST
        narrow = (weight.float() / scale).to(_FP8)
        there = narrow.device if stay else home
        linear.weight = nn.Parameter(narrow.to(there), requires_grad=False)
        linear.scale = nn.Parameter(scale.to(there), requires_grad=False)
        linear.__class__ = Fp8Linear


def wide_linears(blocks: Iterable[nn.Module]) -> Iterator[nn.Linear]:
    """The linear layers of the blocks, but for those that make the norms' shifts and scales."""
    for block in blocks:
        for name, module in block.named_modules():
            if type(module) is nn.Linear and not name.startswith("norm"):
                yield module
