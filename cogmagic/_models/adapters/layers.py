"""Layers of a LoRA: pairs of factors, checked by the header of their file."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from cogmagic._errors import CheckpointError
from cogmagic._models.adapters.formats import (
    Key,
    Role,
    of_whole_model,
    other_kind,
    parse_key,
)
from cogmagic._models.adapters.scales import LoraConfig
from cogmagic._models.checkpoints.weights import StoredTensor, Weights

__all__ = ["LoraLayer", "alpha_names", "read_layers"]


@dataclass(frozen=True)
class LoraLayer:
    """A LoRA of one module: two factors, whose product is added to the module's weight."""

    module: str
    """diffusers' name in the transformer: ``transformer_blocks.0.attn1.to_q``."""
    down: str
    """The tensor in the file of shape [rank, inputs], for a convolution [rank, inputs, k, k]."""
    up: str
    """The tensor of shape [outputs, rank], for a convolution [outputs, rank, 1, 1]."""
    rank: int
    inputs: int
    outputs: int
    scale: float
    """Alpha / rank as the file says, 1.0 if it does not; without the user's weight."""
    kernel: tuple[int, ...] = ()
    """The kernel's sides of a convolution; empty for a linear layer."""

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """The shape of the weight that the layer fits, as `module_shapes` has it."""
        return (self.outputs, self.inputs, *self.kernel)

    @property
    def parameters(self) -> int:
        """Numbers in both factors."""
        return self.rank * (self.inputs * math.prod(self.kernel) + self.outputs)


_DTYPES = ("F32", "F16", "BF16")


_SAT_ALPHA = 1.0
"""SAT's LoRAs divide by the rank: ``lora_alpha`` is 1 (``tools/load_cogvideox_lora.py``)."""


def alpha_names(weights: Weights) -> list[str]:
    """The tensors that hold a module's alpha."""
    return [name for name in weights.tensors if (key := parse_key(name)) and key.role == "alpha"]


def read_layers(
    label: str, weights: Weights, alphas: Mapping[str, float], config: LoraConfig | None
) -> tuple[tuple[LoraLayer, ...], str]:
    """The layers of a LoRA file, by its header, and the name of its format.

    Args:
        label: name of the file in messages.
        weights: the file's header.
        alphas: the values of the alpha tensors, by name; without one, `config` decides.
        config: the configuration that is stored with the file.

    Raises:
        CheckpointError: for a file that is no plain LoRA, or whose tensors do not fit together.
    """
    keys = _keys(label, weights.tensors)
    layers = []
    for module, names in sorted(_by_module(label, keys).items()):
        layer = _layer(label, module, names, weights.tensors)
        key = keys[layer.down]
        scale = _scale(layer, key, alphas.get(names.get("alpha", "")), config)
        if not math.isfinite(scale):
            raise CheckpointError(
                f"{label}: the alpha of {module} is not finite. Download or save the file again."
            )
        layers.append(replace(layer, scale=scale))
    if not any(layer.scale for layer in layers):
        raise CheckpointError(
            f"{label} changes nothing: the alpha of all {len(layers)} layers is 0. Save it again"
            " with the alpha that it was trained with."
        )
    formats = Counter(key.format for key in keys.values())
    return tuple(layers), formats.most_common(1)[0][0]


def _scale(layer: LoraLayer, key: Key, alpha: float | None, config: LoraConfig | None) -> float:
    """Alpha / rank of a layer: by its tensor, else the configuration, else the format."""
    if alpha is not None:
        return alpha / layer.rank
    if config is not None:
        return config.scale(layer.module, layer.rank)
    return _SAT_ALPHA / layer.rank if key.format == "SAT" else 1.0


def _keys(label: str, names: Iterable[str]) -> dict[str, Key]:
    """The tensors' names, taken apart.

    Raises:
        CheckpointError: for a name that is not of a plain LoRA of the transformer.
    """
    parsed = {name: parse_key(name) for name in names}
    unknown = [name for name, key in parsed.items() if key is None or not key.module]
    kinds = {name: kind for name in unknown if (kind := other_kind(name))[0]}
    if kinds:
        what, how = next(iter(kinds.values()))
        raise CheckpointError(
            f"{label} holds {what} ({len(kinds):,} of {len(parsed):,} tensors, such as"
            f" {_examples(kinds, 1)}), which cogmagic does not apply. Save it {how}."
        )
    keys = {name: key for name, key in parsed.items() if key}
    if all(key.role == "alpha" for key in keys.values()):
        raise _no_lora(label, parsed)
    if foreign := [name for name, key in keys.items() if not key.module]:
        raise CheckpointError(
            f"{label} is not a LoRA of CogVideoX: {len(foreign):,} of its {len(parsed):,} tensors"
            f" belong to modules that no CogVideoX transformer has, such as {_examples(foreign)}."
            " Use a LoRA that was trained on CogVideoX."
        )
    if rest := parsed.keys() - keys.keys():
        raise CheckpointError(
            f"{label} has {len(rest):,} of {len(parsed):,} tensors that are not part of a LoRA,"
            f" such as {_examples(sorted(rest))}. Save the LoRA's tensors alone."
        )
    return keys


def _no_lora(label: str, names: Iterable[str]) -> CheckpointError:
    names = list(names)
    if not names:
        return CheckpointError(f"{label} holds no tensors. Download or save it again.")
    if any(map(of_whole_model, names)):
        return CheckpointError(
            f"{label} holds a whole model ({len(names):,} tensors, such as {_examples(names, 1)}),"
            " not a LoRA. Give its pipeline's folder with --model."
        )
    return CheckpointError(
        f"{label} holds no LoRA: none of its {len(names):,} tensors (such as {_examples(names)}) is"
        " a factor (lora_A, lora_B). Use a LoRA that was trained on CogVideoX."
    )


def _by_module(label: str, keys: Mapping[str, Key]) -> dict[str, dict[Role, str]]:
    """The tensors' names by module and role.

    Raises:
        CheckpointError: for two tensors with one role, and for a factor without the other.
    """
    modules: dict[str, dict[Role, str]] = {}
    for name, key in keys.items():
        names = modules.setdefault(key.module, {})
        if key.role in names:
            raise CheckpointError(
                f"{label} has two tensors for one layer: {names[key.role]:.120} and {name:.120}."
                " Save each adapter in a file of its own."
            )
        names[key.role] = name
    for module, names in modules.items():
        if missing := [role for role in ("down", "up") if role not in names]:
            factors = {"down": "lora_A or down", "up": "lora_B or up"}
            raise CheckpointError(
                f"{label} is incomplete: {module} has {_examples(names.values(), 2)}, but no"
                f" {' and no '.join(factors[role] for role in missing)}. Download or save it again."
            )
    return modules


def _layer(
    label: str, module: str, names: Mapping[Role, str], tensors: Mapping[str, StoredTensor]
) -> LoraLayer:
    """The layer of two factors, with scale 1.

    Raises:
        CheckpointError: for dtypes and shapes that no LoRA has.
    """
    down, up = tensors[names["down"]], tensors[names["up"]]
    for tensor in (down, up):
        if tensor.dtype not in _DTYPES:
            eight = " (8-bit floats)" if tensor.dtype.startswith("F8") else ""
            raise CheckpointError(
                f"{label}: {tensor.name:.120} has dtype {tensor.dtype}{eight}, but cogmagic reads"
                f" LoRAs in {', '.join(_DTYPES)}. Use a copy in one of them."
            )
    flat = len(down.shape) == len(up.shape) == 2
    conv = len(down.shape) == len(up.shape) == 4 and up.shape[2:] == (1, 1)
    if not flat and not (conv and module == "patch_embed.proj"):
        raise CheckpointError(
            f"{label}: the factors of {module} have the shapes {_sides(down)} and {_sides(up)}, but"
            " a LoRA has [rank, inputs] and [outputs, rank]. Download or save it again."
        )
    rank, inputs, *kernel = down.shape
    outputs = up.shape[0]
    if rank != up.shape[1]:
        raise CheckpointError(
            f"{label}: the factors of {module} have ranks {rank} and {up.shape[1]}"
            f" ({_sides(down)} and {_sides(up)}). Download or save it again."
        )
    if not min(*down.shape, *up.shape):
        raise CheckpointError(
            f"{label}: the factors of {module} are empty ({_sides(down)} and {_sides(up)}). Use a"
            " LoRA of rank 1 or more."
        )
    return LoraLayer(module, down.name, up.name, rank, inputs, outputs, 1.0, tuple(kernel))


def _sides(tensor: StoredTensor) -> str:
    return f"[{', '.join(map(str, tensor.shape))}]"


def _examples(names: Iterable[str], most: int = 3) -> str:
    return ", ".join(f"{name:.120}" for name in list(names)[:most])
