"""Quantised linear layers of plain tensors, in place of those that the libraries make.

torchao's weights are tensor subclasses, and bitsandbytes' have a state beside the tensor that no
copy of ``weight.data`` brings to another device. The numbers are the same here, as parameters of
the layer, so that every tier moves them like any others, and page-locked memory can hold them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from cogmagic._errors import RequestError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

__all__ = [
    "BLOCK",
    "as_plain_layers",
    "make_blockwise",
    "make_scaled",
    "plain_layer_classes",
    "quantised_layers",
]


_MARKS = (
    "hf_quantizer",
    "is_loaded_in_4bit",
    "is_loaded_in_8bit",
    "is_quantized",
    "quantization_method",
)
"""Attributes by which the libraries know a quantised component, and refuse to move it."""


BLOCK = 64
"""Weights that share a scale in bitsandbytes' 4-bit types."""


def as_plain_layers(module: nn.Module) -> None:
    """Replace the libraries' quantised linear layers in `module`, in place.

    Raises:
        RequestError: for a form that has no class here, as another version of a library may make.
    """
    count = 0
    for layer in list(module.modules()):
        weight = layer._parameters.get("weight")
        if weight is None:
            continue
        if hasattr(weight, "qdata"):
            _from_torchao(layer, weight)
        elif type(weight).__name__ == "Params4bit":
            _from_bitsandbytes(layer, weight)
        elif type(weight).__name__ == "Int8Params":
            raise _unknown_form("bitsandbytes", "LLM.int8()")
        else:
            continue
        count += 1
    for name in _MARKS:
        module.__dict__.pop(name, None)
    if not count:
        raise _unknown_form("torchao or bitsandbytes", "no layer that is known as quantised")


def _unknown_form(package: str, form: str) -> RequestError:
    """The error for weights that were quantised in another way than those that compute here."""
    return RequestError(
        f"{package} made weights in a form that cogmagic cannot compute with ({form}). Install the"
        " versions in constraints.txt, or leave out --quantize."
    )


def _from_torchao(layer: Any, weight: Any) -> None:
    """Unwrap a weight with one scale per row, which is used as it is by its layer's product."""
    names = getattr(weight, "optional_tensor_data_names", ())
    dynamic = getattr(weight, "act_quant_kwargs", None) is not None
    if dynamic or any(_is_used(weight, name) for name in names):
        raise _unknown_form("torchao", f"{type(weight).__name__} with narrowed inputs")
    if weight.scale.numel() != weight.qdata.shape[0]:
        raise _unknown_form("torchao", f"{type(weight).__name__} with several scales per row")
    make_scaled(layer, weight.qdata, weight.scale.reshape(-1, 1))


def _is_used(weight: Any, name: str) -> bool:
    """Whether an optional tensor of a torchao weight changes its numbers."""
    tensor = getattr(weight, name, None)
    return tensor is not None and bool(tensor.any())


def make_scaled(layer: Any, weight: Tensor, scale: Tensor | None) -> None:
    """Make `layer` one whose weight is `weight` times `scale`, row by row.

    Args:
        layer: a linear layer; of its parameters, the bias stays.
        weight: outputs × inputs, in int8 or fp8.
        scale: outputs × 1; None for weights without scales.
    """
    layer.wide = _is_wide(layer)
    layer.__class__ = plain_layer_classes()[0]
    _replace_weight(layer, weight)
    layer._parameters["scale"] = None if scale is None else _parameter(scale)
    _drop_own_methods(layer)


def _is_wide(layer: Any) -> bool:
    """Whether the layer computes in float32, as T5's last ones of a feed-forward beside float16.

    T5 casts their inputs to the dtype of their ``weight``, which quantised layers do not have.
    """
    import torch

    return bool(layer.weight.dtype == torch.float32)


def _from_bitsandbytes(layer: Any, weight: Any) -> None:
    state = weight.quant_state
    if state is None or getattr(state, "packing_format_for_cpu", False):
        raise _unknown_form("bitsandbytes", "4-bit weights without their state")
    nested = (state.state2.absmax, state.state2.code, state.offset) if state.nested else ()
    make_blockwise(layer, weight.data, state.absmax, nested, state.quant_type, state.blocksize)
    if state.nested:
        layer.nested_block = state.state2.blocksize


def make_blockwise(
    layer: Any,
    weight: Tensor,
    absmax: Tensor,
    nested: tuple[Tensor, ...] = (),
    kind: str = "nf4",
    block: int = BLOCK,
) -> None:
    """Make `layer` one with a weight in bitsandbytes' 4-bit numbers.

    Args:
        layer: a linear layer; of its parameters, the bias stays.
        weight: two numbers a byte.
        absmax: the largest number of each block, or its 8-bit code if there are `nested` ones.
        nested: the scales, the table of codes and the offset of `absmax`.
        kind: ``nf4`` or ``fp4``.
        block: weights that share a scale.
    """
    layer.__class__ = plain_layer_classes()[1]
    _replace_weight(layer, weight)
    layer._parameters["absmax"] = _parameter(absmax)
    names = ("nested_absmax", "nested_code", "nested_offset")
    for name, tensor in zip(names, nested, strict=False):
        layer._parameters[name] = _parameter(tensor)
    layer.kind, layer.block, layer.nested, layer.nested_block = kind, block, bool(nested), 256
    _drop_own_methods(layer)


def _replace_weight(layer: nn.Module, packed: Tensor) -> None:
    """Put `packed` in the place of the weight, under another name: T5 reads a weight's dtype."""
    layer._parameters["weight"] = None
    layer._parameters["packed"] = _parameter(packed)


def _drop_own_methods(layer: nn.Module) -> None:
    """Remove what the libraries leave on the instance: methods, and a second name of the state."""
    for name in ("extra_repr", "quant_state"):
        layer.__dict__.pop(name, None)


def _parameter(tensor: Tensor) -> nn.Parameter:
    from torch import nn

    return nn.Parameter(tensor.detach(), requires_grad=False)


@cache
def plain_layer_classes() -> tuple[type[nn.Linear], type[nn.Linear]]:
    """The classes of layers with a scale per row, and per block; made on first use."""
    from torch.nn import Linear
    from torch.nn.functional import linear

    class ScaledLinear(Linear):
        """A linear layer whose weight is in 8 bits, with a scale per row."""

        packed: torch.Tensor
        scale: torch.Tensor | None
        wide: bool

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            """The product in the dtype of `inputs`, or float32, with the weight scaled before it.

            torchao scales the product of int8 weights instead, which needs a second output.
            """
            inputs = inputs.float() if self.wide else inputs
            weight = self.packed.to(inputs.dtype)
            if self.scale is not None:
                weight = weight.mul_(self.scale)
            return linear(inputs, weight, self.bias)

    class BlockwiseLinear(Linear):
        """A linear layer whose weight is in 4 bits, with a scale per block."""

        packed: torch.Tensor
        absmax: torch.Tensor
        kind: str
        block: int
        nested: bool
        nested_block: int

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            """The product in the dtype of `inputs`."""
            weight = _widened(self, inputs.dtype)
            bias = None if self.bias is None else self.bias.to(inputs.dtype)
            return linear(inputs, weight, bias)

    return ScaledLinear, BlockwiseLinear


def _widened(layer: Any, dtype: torch.dtype) -> Tensor:
    """The weight of a layer in 4 bits, by bitsandbytes' own operator (the package is imported)."""
    import torch

    operators, absmax = torch.ops.bitsandbytes, layer.absmax
    if layer.nested:
        codes = layer.nested_code, layer.nested_block
        absmax = operators.dequantize_blockwise(absmax, layer.nested_absmax, *codes, torch.float32)
        absmax = absmax + layer.nested_offset
    shape = (layer.out_features, layer.in_features)
    widened: Tensor = operators.dequantize_4bit(
        layer.packed, absmax, layer.block, layer.kind, shape, dtype
    )
    return widened


def quantised_layers(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The quantised layers in `module`, by name."""
    classes = plain_layer_classes()
    return ((name, m) for name, m in module.named_modules() if isinstance(m, classes))
