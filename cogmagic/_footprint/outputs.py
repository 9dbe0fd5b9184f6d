"""Outputs of operations on the meta device, whose layouts are computed once."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._pytree import tree_leaves

__all__ = ["Outputs"]


class Outputs:
    """Outputs of operations by the layouts of their arguments.

    Torch computes the layout of most outputs in Python, which takes half the time of a trace.
    """

    def __init__(self) -> None:
        self._layouts: dict[Any, Any] = {}
        """Of the new tensors that an operation makes."""

    def of(self, func: Any, args: Any, kwargs: Any) -> Any:
        """The output of `func`: computed, or the empty tensors that it would be."""
        key = (func, _layout(args), _layout(tuple(kwargs.items())))
        layouts = self._layouts.get(key)
        if layouts is not None:
            out = tuple(
                torch.empty_strided(shape, stride, dtype=dtype, device="meta")
                for shape, stride, dtype, _ in layouts
            )
            return out if len(func._schema.returns) > 1 else out[0]
        out = func(*args, **kwargs)
        made = out if isinstance(out, tuple) else (out,)
        storages = _storages(made)
        # Not what is a view of an argument, works in place, or is on another device.
        if len(storages) == len(made) and not storages & _storages((args, kwargs)):
            self._layouts[key] = tuple(map(_layout, made))
        return out


def _storages(values: Any) -> set[int]:
    """The storages of the tensors among `values` that are on the meta device."""
    tensors = (t for t in tree_leaves(values) if isinstance(t, torch.Tensor) and t.is_meta)
    return {tensor.untyped_storage()._cdata for tensor in tensors}


def _layout(value: Any) -> Any:
    """All that an output's layout depends on."""
    if isinstance(value, torch.Tensor):
        return value.shape, value.stride(), value.dtype, value.is_meta
    if isinstance(value, list | tuple):
        return tuple(map(_layout, value))
    return type(value), value  # 1, 1.0 and True are equal
