"""Workarounds for what torch's MPS device cannot do, active while a pipeline runs on it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from cogmagic._pipeline.attention_scores import MOST_SCORES

__all__ = ["MetalLimits", "limits_of"]


def limits_of(device: str) -> AbstractContextManager[object]:
    """A context that works around what a type of device cannot do."""
    return MetalLimits() if device == "mps" else nullcontext()


class MetalLimits(TorchFunctionMode):
    """Float64 and long attention in forms that MPS can compute. No other device needs them.

    - MPS has no float64. Buffers in float64, such as 2b's table of positions, are moved there as
      float32, in which diffusers itself computes the table on MPS for other sizes. A single float64
      number on the host, such as a factor of the scheduler, is converted to float32 in an operation
      with a tensor on the device; operations on the host alone stay in float64.
    - MPS has no fused attention for long sequences: it stores the scores of all tokens, and its
      results are wrong from 2³² scores on (pytorch/pytorch pull request 179592; 5b has 3·10¹⁰).
      Queries are independent of each other, so they are computed in slices.
    """

    def __init__(
        self,
        on_device: Callable[[torch.Tensor], bool] = lambda t: t.device.type == "mps",
        device: str = "mps",
        most: int = MOST_SCORES,
    ) -> None:
        """Work around the limits of a device.

        Args:
            on_device: whether a tensor is on it.
            device: its type.
            most: scores that attention may store at once.
        """
        super().__init__()
        self._on_device, self._device, self._most = on_device, device, most

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is scaled_dot_product_attention and self._on_device(args[0]):
            return _sliced(self._most, *args, **kwargs)
        if func is torch.Tensor.to and _is_double(args[0]) and self._is_target(args, kwargs):
            args = (args[0].to(torch.float32), *args[1:])
        elif getattr(func, "__name__", "") == "__set__":  # sets an attribute and computes nothing
            pass
        elif any(_is_double(a) for a in args) and any(self._computes(a) for a in args):
            numbers = [_is_double(a) and not a.dim() for a in args]
            args = tuple(
                a.to(torch.float32) if n else a for a, n in zip(args, numbers, strict=True)
            )
        return func(*args, **kwargs)

    def _is_target(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether ``Tensor.to`` is called for the device, and not for another dtype first."""
        for target in (*args[1:], *kwargs.values()):
            if isinstance(target, torch.Tensor):
                return self._on_device(target)
            if isinstance(target, torch.device | str):
                return torch.device(target).type == self._device
        return False

    def _computes(self, argument: Any) -> bool:
        """Whether an argument makes the device compute: an index does not."""
        is_tensor = isinstance(argument, torch.Tensor)
        return is_tensor and argument.is_floating_point() and self._on_device(argument)


def _is_double(argument: Any) -> bool:
    return isinstance(argument, torch.Tensor) and argument.dtype == torch.float64


def _sliced(
    most: int,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **options: Any,
) -> torch.Tensor:
    """Attention, computed for as many queries at a time as keep the scores within `most`.

    Shapes as torch's: query [..., queries, width], key and value [..., keys, width].
    """
    count = query.shape[-2]
    rows = max(most // max(query[..., 0].numel() // count * key.shape[-2], 1), 1)
    if is_causal or rows >= count:
        return scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, **options
        )
    out = query.new_empty((*query.shape[:-1], value.shape[-1]))
    for start in range(0, count, rows):
        part = slice(start, start + rows)
        mask = attn_mask
        if mask is not None and mask.dim() > 1 and mask.shape[-2] == count:
            mask = mask[..., part, :]
        out[..., part, :] = scaled_dot_product_attention(
            query[..., part, :], key, value, mask, dropout_p, **options
        )
    return out
