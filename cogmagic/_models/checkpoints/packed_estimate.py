"""Quantised layers by the configurations alone, before the files are on this machine. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cogmagic._models.checkpoints.quantised import is_loadable
from cogmagic._models.family import Configs
from cogmagic._models.packed import Packed

__all__ = ["packed_by_configs"]


_BLOCK = 64
"""Weights that share a scale in bitsandbytes' 4 bits."""


def packed_by_configs(configs: Configs) -> tuple[Packed, ...]:
    """The quantised components that configurations describe.

    The libraries quantise every linear layer; but transformers leaves T5's ``wo`` out in 4 bits.
    Where the configuration leaves out layers by name, no memory is saved until the files are here.
    """
    components = []
    for component, shapes in (("text_encoder", _t5), ("transformer", _transformer)):
        config = configs.get(component, {})
        settings = config.get("quantization_config") or {}
        names = ("llm_int8_skip_modules", "modules_to_not_convert")
        if is_loadable(config):
            packed = _packed(component, settings, *shapes(config))
            some = any(settings.get(name) for name in names)
            components.append(_as_plain(packed) if some else packed)
    return tuple(components)


def _as_plain(packed: Packed) -> Packed:
    """The component as if all its layers were plain, in 16 bits: the most that it may take."""
    file = 2 * (packed.numel + packed.wide)
    return replace(packed, numel=0, wide=0, nbytes=0, block=(0, 0, 0), file=file)


Shapes = list[tuple[int, int]]
"""Outputs and inputs of linear layers."""


def _packed(
    component: str,
    settings: Mapping[str, Any],
    block: Shapes,
    wide: Shapes,
    others: Shapes,
    count: int,
) -> Packed:
    """The component with `count` blocks of these layers, of which `wide` are T5's ``wo``."""
    in_4_bits = settings["quant_method"] == "bitsandbytes"
    nested = bool(settings.get("bnb_4bit_use_double_quant"))
    wide = [] if in_4_bits else wide
    one = _numel(block), _numel(wide), _nbytes(block + wide, in_4_bits=in_4_bits, nested=nested)
    rest = _numel(others), 0, _nbytes(others, in_4_bits=in_4_bits, nested=nested)
    numel, wide_numel, nbytes = (count * b + r for b, r in zip(one, rest, strict=True))
    form = str(settings.get("bnb_4bit_quant_type", "fp4"))
    if not in_4_bits:
        form = "int8" if "Int8" in str(settings["quant_type"]) else "fp8"
    return Packed(component, form, numel, wide_numel, nbytes, one, scaled=True, file=nbytes)


def _numel(shapes: Shapes) -> int:
    return sum(rows * width for rows, width in shapes)


def _nbytes(shapes: Shapes, *, in_4_bits: bool, nested: bool) -> int:
    """Bytes of the layers' weights with their scales."""
    if not in_4_bits:
        return sum(rows * width + 4 * rows for rows, width in shapes)
    total = 0
    for rows, width in shapes:
        scales = -(-rows * width // _BLOCK)
        # In double quantisation a byte each, and for 256 of them one in float32, beside a table.
        beside = scales + 4 * -(-scales // 256) + 4 * 256 + 4 if nested else 4 * scales
        total += -(-rows * width // 2) + beside
    return total


def _t5(c: Mapping[str, Any]) -> tuple[Shapes, Shapes, Shapes, int]:
    width, inner, hidden = c["d_model"], c["d_kv"] * c["num_heads"], c["d_ff"]
    gates = 2 if str(c["feed_forward_proj"]).startswith("gated") else 1
    block = [(inner, width)] * 3 + [(width, inner)] + [(hidden, width)] * gates
    return block, [(width, hidden)], [], c["num_layers"]


def _transformer(c: Mapping[str, Any]) -> tuple[Shapes, Shapes, Shapes, int]:
    width, time = c["num_attention_heads"] * c["attention_head_dim"], c["time_embed_dim"]
    square, patch = (width, width), c["patch_size"] ** 2 * (c["patch_size_t"] or 1)
    block = [(6 * width, time)] * 2 + [square] * 4 + [(4 * width, width), (width, 4 * width)]
    others = [(width, c["text_embed_dim"]), (time, width), (time, time), (2 * width, time)]
    others.append((c["out_channels"] * patch, width))
    if c["patch_size_t"]:
        others.append((width, c["in_channels"] * patch))
    if c["ofs_embed_dim"]:
        others += [(c["ofs_embed_dim"], c["ofs_embed_dim"])] * 2
    return block, [], others, c["num_layers"]
