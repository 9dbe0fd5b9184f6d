"""Plain weights: floating-point numbers that are the weights themselves, without scales.

The loaders accept tensors of any type as weights, and silently drop the scales beside them: fp8
numbers are then used unscaled (448 where the weight is 0.2), and so are int8 numbers. So weights
with scales are refused, except in the forms of `packed_layers` that a configuration names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from cogmagic._errors import CheckpointError
from cogmagic._models.checkpoints.json_files import read_json
from cogmagic._models.checkpoints.packed_layers import plain_part
from cogmagic._models.checkpoints.weights import Weights, plain_copy
from cogmagic._models.family import WEIGHTED_COMPONENTS

__all__ = ["check_plain", "examples"]


_FP8 = {"F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ"}


_PLAIN = {"F64", "F32", "F16", "BF16"} | _FP8
"""safetensors' names of the types whose numbers may be weights. fp8 may need scales; integers,
F4, F6 and F8_E8M0 (powers of two, for scales) always do."""


_SCALE = re.compile(r"scale|zero_?point|zeros|absmax|quant|SCB", re.IGNORECASE)
"""Part of the last word of the names that scales have beside fp8 weights: ``scale_weight``,
``scale_input`` and ``scaled_fp8`` (ComfyUI), ``comfy_quant``, ``weight_scale`` (compressed-tensors,
ModelOpt), ``weight_scale_inv`` (transformers' fine-grained fp8), ``_weight_scale`` (torchao),
``_scale`` and ``input_scale`` (optimum-quanto). No tensor of a CogVideoX has one of them."""


_LIBRARIES = {
    "bitsandbytes": r"\.(SCB|weight_format|(nested_)?absmax|quant_state\.bitsandbytes__\w+)$",
    "torchao": r"[_:]qdata$",
    "optimum-quanto": r"\.weight\._(data|packed)\b",
    "compressed-tensors": r"\.weight_(packed|zero_point|shape)$",
    "GPTQ or AWQ": r"\.(qweight|qzeros)$",
    "HQQ": r"\.W_q$",
    "ComfyUI": r"(^|\.)(scaled_fp8|scale_weight|comfy_quant)$",
}
"""Names that only one library gives to tensors, as patterns."""


_COMFY_METADATA = "_quantization_metadata"
"""The format of each layer in a file's metadata, as ComfyUI's converters store it."""


def check_plain(folder: Path) -> None:
    """Refuse a complete checkpoint with a component whose weights are not plain.

    Raises:
        CheckpointError: naming the tensors.
    """
    _refuse_other_sources(folder / "text_encoder")
    for component in WEIGHTED_COMPONENTS:
        if difference := _difference(plain_part(folder, component)):
            raise CheckpointError(
                f"{folder}: its {component} does not hold plain weights{difference}. cogmagic loads"
                f" floating-point weights only, without scales. {plain_copy(folder)}"
            )


def _difference(weights: Weights) -> str:
    """How the weights differ from plain ones, for the message; empty if they are plain."""
    dtypes = {name: tensor.dtype for name, tensor in weights.tensors.items()}
    odd = [name for name, dtype in dtypes.items() if dtype not in _PLAIN]
    if not odd and _FP8.isdisjoint(dtypes.values()):
        return ""
    scales = [name for name in dtypes if _SCALE.search(name.rpartition(".")[2])]
    parts = []
    if odd:
        kinds = " and ".join(sorted({dtypes[name] for name in odd}))
        parts.append(f"{kinds} tensors ({len(odd):,}: {examples(odd, 2)})")
    if scales:
        parts.append(f"scales and similar tensors ({len(scales):,}: {examples(scales, 2)})")
    if _COMFY_METADATA in weights.metadata:
        parts.append(f"{_COMFY_METADATA} in the metadata")
    if not parts:
        return ""
    library = next((k for k, v in _LIBRARIES.items() if any(re.search(v, n) for n in dtypes)), "")
    return (f" but those of {library}" if library else "") + f": {', '.join(parts)}"


def _refuse_other_sources(base: Path) -> None:
    """Refuse files that make transformers load other weights than ``model.safetensors``."""
    named = read_json(base / "config.json").get("transformers_weights")
    if named is not None:
        source = f"config.json, which names {json.dumps(named):.120} as its weights"
    elif any(base.glob("shard-*-model-*-of-*.safetensors")):
        source = "a distributed checkpoint (shard-…-model-….safetensors)"
    elif (base / "adapter_config.json").is_file():
        source = "an adapter (adapter_config.json)"
    else:
        return
    raise CheckpointError(
        f"{base} has {source}, which cogmagic does not load. Save the whole text encoder with"
        " save_pretrained to an empty folder, and use that."
    )


def examples(names: Iterable[str], count: int = 3) -> str:
    """The first `count` of some names, for a message."""
    ordered = sorted(names)
    return ", ".join(f"{name:.120}" for name in ordered[:count]) + ", …" * (len(ordered) > count)
