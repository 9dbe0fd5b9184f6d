"""The state of a weight in bitsandbytes' 4 bits, as files have it in JSON, checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, prod
from typing import Any

from cogmagic._errors import CheckpointError
from cogmagic._models.checkpoints.packed_layers import PackedLayer

__all__ = ["QuantState", "quant_state"]


_BLOCKS = (32, 64, 128, 256, 512, 1024, 2048, 4096)
"""Weights that may share a scale (bitsandbytes' ``dequantize_4bit``)."""


_CODES = 256
"""Numbers in the table of 8-bit codes."""


@dataclass(frozen=True)
class QuantState:
    """The sizes that bitsandbytes' operators read by, which do not check them."""

    block: int
    """Weights that share a scale."""
    nested_block: int = 0
    """Scales that share one of their own; 0 without double quantisation."""
    nested_offset: float = 0.0
    """What is added to the scales."""


def quant_state(
    layer: PackedLayer, text: bytes, shape: tuple[int, int], lengths: Mapping[str, int]
) -> QuantState:
    """The state in `text`, which fits the layer and its tensors.

    Args:
        layer: for the message.
        text: JSON.
        shape: outputs and inputs of the layer.
        lengths: numbers in each tensor beside the weight.

    Raises:
        CheckpointError: for a value that is missing, of another kind or does not fit.
    """
    try:
        values = json.loads(text)
        state = _state(values, nested="nested_absmax" in lengths)
        problem = _problem(values, state, shape, lengths)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        problem = f"is damaged ({type(error).__name__}: {error!s:.60})"
    if problem:
        raise CheckpointError(
            f"{layer.packed.file}: the state of {layer.packed.name:.120} {problem}. Download or"
            " copy the folder again."
        )
    return state


def _state(values: Mapping[str, Any], *, nested: bool) -> QuantState:
    if not nested:
        return QuantState(int(values["blocksize"]))
    sizes = int(values["blocksize"]), int(values["nested_blocksize"])
    return QuantState(*sizes, float(values["nested_offset"]))


def _problem(
    values: Mapping[str, Any],
    state: QuantState,
    shape: tuple[int, int],
    lengths: Mapping[str, int],
) -> str:
    """What does not fit, after "the state of …"; empty if all does."""
    if values["shape"] != list(shape):
        return f"has the shape {values['shape']!s:.40}, not {list(shape)}"
    nested = "nested_absmax" in lengths
    if state.block not in _BLOCKS or (nested and state.nested_block not in _BLOCKS):
        return f"has blocks of {state.block} and {state.nested_block} numbers"
    if not isfinite(state.nested_offset):
        return f"has the offset {state.nested_offset}"
    scales = -(-prod(shape) // state.block)
    expected = {"absmax": scales}
    if nested:
        expected |= {"nested_absmax": -(-scales // state.nested_block), "nested_quant_map": _CODES}
    for name, count in expected.items():
        if lengths[name] != count:
            return f"needs {count:,} numbers in {name}, which has {lengths[name]:,}"
    return ""
