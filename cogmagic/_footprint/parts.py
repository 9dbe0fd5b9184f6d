"""Sizes of one component, measured on an empty module with a few of its blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from cogmagic._footprint.curves import Part
from cogmagic._pipeline.empty import module_bytes
from cogmagic._pipeline.storage.base import narrowable_linears

__all__ = ["part_of"]


def part_of(
    module: Any,
    blocks: Sequence[nn.Module] = (),
    count: int = 0,
    *,
    narrowable: bool = False,
    unused: nn.Module | None = None,
) -> Part:
    """The component of which `module` has the first few of `count` blocks.

    Args:
        module: on the meta device.
        blocks: its repeated blocks.
        count: how many blocks the whole component has.
        narrowable: whether a `Storage` applies to the blocks' linear layers.
        unused: a part of `module` that a pass does not need.
    """
    last = blocks[-1:] if count else ()
    missing = count - len(blocks) if count else 0
    linears = list(narrowable_linears(last)) if narrowable else []
    block = sum(p.nbytes for b in last for p in b.parameters())
    unused_parameters = list(unused.parameters()) if unused is not None else []
    tensors = len(list(module.parameters())) - len(unused_parameters)
    leaves = (leaf.parameters(recurse=False) for leaf in module.modules())
    return Part(
        weights=module_bytes(module) + missing * block,
        largest_leaf=max(sum(p.nbytes for p in own) for own in leaves),
        block=block,
        blocks=count,
        linear_numel=sum(linear.weight.numel() for linear in linears),
        linear_rows=sum(linear.out_features for linear in linears),
        itemsize=linears[0].weight.element_size() if linears else 0,
        tensors=tensors + missing * sum(len(list(b.parameters())) for b in last),
        spare=sum(p.nbytes for p in unused_parameters),
    )
