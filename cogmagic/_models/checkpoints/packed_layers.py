"""Quantised linear layers in a component's files: their forms and their bytes. Imports no torch.

bitsandbytes stores a 4-bit weight as bytes beside the largest number of each block and a state in
JSON; torchao an 8-bit one as ``_weight_qdata`` beside ``_weight_scale``. Other forms are refused
(`quantised`, `plain_weights`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from cogmagic._errors import CheckpointError
from cogmagic._models.checkpoints.json_files import read_json
from cogmagic._models.checkpoints.quantised import is_loadable
from cogmagic._models.checkpoints.stored_weights import stored_weights
from cogmagic._models.checkpoints.weights import StoredTensor, Weights, bytes_per_dtype
from cogmagic._models.packed import Packed

__all__ = ["PackedLayer", "fp8_layers", "packed_layers", "packed_of", "plain_part"]


_PARTS = ("text_encoder", "transformer")
"""The components that may be quantised."""


_STATE = re.compile(r"(.+)\.weight\.quant_state\.bitsandbytes__(nf4|fp4)")
_DATA = re.compile(r"(.+)\._weight_qdata")
_LINEAR = re.compile(
    r"((?:transformer_blocks\.\d+\.(?:attn1\.to_(?:q|k|v|out\.0)|ff\.net\.(?:0\.proj|2))"
    r"|encoder\.block\.\d+\.layer\.\d\.(?:SelfAttention\.[qkvo]|DenseReluDense\.w[io](?:_\d)?))"
    r")\.weight"
)
"""The linear layers of a block, without those that make the norms' shifts and scales."""
_BLOCK = re.compile(r"(?:transformer_blocks|encoder\.block)\.(\d+)\.")


_TORCHAO = {"I8": "int8", "F8_E4M3": "fp8"}
"""The form of torchao's numbers, by safetensors' name of their type."""


@dataclass(frozen=True)
class PackedLayer:
    """One quantised linear layer."""

    form: str
    """``nf4``, ``fp4``, ``int8`` or ``fp8``."""
    packed: StoredTensor
    """The numbers."""
    beside: Mapping[str, StoredTensor]
    """What belongs to them, by the last part of its name."""
    used: tuple[str, ...]
    """Which of it stays in memory."""

    @property
    def numel(self) -> int:
        """Numbers in the weight; one more than there are if their count is odd, in 4 bits."""
        return prod(self.packed.shape) * (1 if self.form in _TORCHAO.values() else 2)

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        beside = {name: self.beside[name] for name in self.used}
        offset = 4 if "nested_absmax" in beside else 0
        return prod(self.packed.shape) + sum(bytes_per_dtype(beside).values()) + offset

    @property
    def names(self) -> set[str]:
        """The names of all its tensors."""
        return {self.packed.name, *(tensor.name for tensor in self.beside.values())}


def packed_layers(folder: Path, component: str) -> dict[str, PackedLayer]:
    """The quantised layers of a component, by their names; empty for plain weights.

    Raises:
        CheckpointError: for a layer that lacks a tensor, or has a form that is not loaded.
    """
    if component not in _PARTS or not is_loadable(read_json(folder / component / "config.json")):
        return {}
    weights = stored_weights(folder, component)
    layers = {}
    for name in weights.tensors:
        if match := _STATE.fullmatch(name):
            layers[match[1]] = _blockwise(folder, weights, match[1], match[2])
        elif match := _DATA.fullmatch(name):
            layers[match[1]] = _scaled(folder, weights, match[1])
    if not layers:
        raise CheckpointError(
            f"{folder}: its {component} is quantised, according to its config.json, but its files"
            " hold no quantised weights that cogmagic knows (bitsandbytes' 4-bit ones, torchao's"
            " int8 and fp8). Download or copy the folder again."
        )
    return layers


def _blockwise(folder: Path, weights: Weights, path: str, form: str) -> PackedLayer:
    tensors, prefix = weights.tensors, f"{path}.weight"
    state = f"quant_state.bitsandbytes__{form}"
    names = ["absmax", "quant_map", state]
    used = ["absmax"]
    if f"{prefix}.nested_absmax" in tensors:
        names += ["nested_absmax", "nested_quant_map"]
        used += ["nested_absmax", "nested_quant_map"]
    return _layer(folder, weights, form, prefix, {n: f"{prefix}.{n}" for n in names}, used)


def _scaled(folder: Path, weights: Weights, path: str) -> PackedLayer:
    data = weights.tensors[f"{path}._weight_qdata"]
    form = _TORCHAO.get(data.dtype, "")
    details = _torchao_details(weights, path)
    rows, width = (*data.shape, 0, 0)[:2]
    one_scale = details.get("block_size") in ([1, width], None)
    if not form or len(data.shape) != 2 or not one_scale or details.get("act_quant_kwargs"):
        raise CheckpointError(
            f"{folder}: {path} is quantised by torchao in a form that cogmagic does not load"
            f" ({data.dtype}, {details!s:.120}). It loads int8 and fp8 weights with a scale per row"
            " (Int8WeightOnlyConfig, Float8WeightOnlyConfig)."
        )
    names = {"scale": f"{path}._weight_scale"}
    if f"{path}._weight_zero_point" in weights.tensors:
        names["zero_point"] = f"{path}._weight_zero_point"
    layer = _layer(folder, weights, form, data.name, names, ["scale"])
    if prod(layer.beside["scale"].shape) != rows:
        raise CheckpointError(
            f"{folder}: {path} has {prod(layer.beside['scale'].shape):,} scales for {rows:,} rows."
            " Download or copy the folder again."
        )
    return layer


def _torchao_details(weights: Weights, path: str) -> dict[str, object]:
    """What torchao stores about a weight in the file's metadata."""
    try:
        details = json.loads(weights.metadata.get(f"{path}.weight", "{}")).get("_data", {})
    except (ValueError, AttributeError):
        return {}
    return details if isinstance(details, dict) else {}


def _layer(
    folder: Path,
    weights: Weights,
    form: str,
    packed: str,
    names: Mapping[str, str],
    used: Iterable[str],
) -> PackedLayer:
    if missing := [n for n in (packed, *names.values()) if n not in weights.tensors]:
        raise CheckpointError(
            f"{folder}: the quantised weight {packed:.120} lacks {missing[0]:.120}. Download or"
            " copy the folder again."
        )
    beside = {key: weights.tensors[name] for key, name in names.items()}
    return PackedLayer(form, weights.tensors[packed], beside, tuple(used))


def plain_part(folder: Path, component: str) -> Weights:
    """The weights of a component without those of quantised layers."""
    weights, layers = stored_weights(folder, component), packed_layers(folder, component)
    if not layers:
        return weights
    names = set[str]().union(*(layer.names for layer in layers.values()))
    plain = {name: t for name, t in weights.tensors.items() if name not in names}
    return Weights(plain, weights.metadata)


def fp8_layers(folder: Path, component: str) -> dict[str, PackedLayer]:
    """The linear layers of a component's blocks that are stored as plain fp8, by their names.

    They need no scales, so they can be widened while they are loaded, or stay as they are.
    """
    if component not in _PARTS or is_loadable(read_json(folder / component / "config.json")):
        return {}
    tensors = stored_weights(folder, component).tensors
    matches = ((m, t) for name, t in tensors.items() if (m := _LINEAR.fullmatch(name)))
    return {m[1]: PackedLayer("fp8", t, {}, ()) for m, t in matches if t.dtype == "F8_E4M3"}


def packed_of(folder: Path, component: str) -> Packed | None:
    """The quantised layers of a component, for predictions; None for plain weights."""
    scaled = packed_layers(folder, component)
    layers = scaled or fp8_layers(folder, component)
    if not layers:
        return None
    blocks = {m[1] for path in layers if (m := _BLOCK.match(path))}
    last = max(blocks, key=int, default="")
    of_block = {p: x for p, x in layers.items() if (m := _BLOCK.match(p)) and m[1] == last}
    forms = sorted({layer.form for layer in layers.values()})
    files = {t.file for t in stored_weights(folder, component).tensors.values()}
    return Packed(
        component,
        forms[0],
        *_amounts(layers),
        block=_amounts(of_block),
        scaled=bool(scaled),
        file=sum(file.stat().st_size for file in files),
    )


def _amounts(layers: Mapping[str, PackedLayer]) -> tuple[int, int, int]:
    wide = sum(layer.numel for path, layer in layers.items() if path.endswith(".wo"))
    numel = sum(layer.numel for layer in layers.values()) - wide
    return numel, wide, sum(layer.nbytes for layer in layers.values())
