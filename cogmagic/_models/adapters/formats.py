"""Names of the tensors in LoRA files: which module's factor they are, in every trainer's format."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from cogmagic._models.adapters.modules import from_diffsynth, from_kohya, is_module

__all__ = ["Key", "Role", "of_whole_model", "other_kind", "parse_key"]


Role = Literal["down", "up", "alpha"]


@dataclass(frozen=True)
class Key:
    """A tensor's name, taken apart."""

    module: str
    """The module in diffusers' words; '' where no CogVideoX transformer has it."""
    role: Role
    format: str


_SUFFIX = re.compile(
    r"(?P<module>.+?)\.(?:"
    r"lora_(?P<peft>[AB])(?:\.(?P<adapter>[^.]+))?\.weight"
    r"|lora_(?P<kohya>down|up)(?:\.[^.]+)?\.weight"
    r"|lora(?:_linear_layer)?\.(?P<early>down|up)\.weight"
    r"|(?:lora\.)?(?P<alpha>alpha))"
)
"""A factor's name: PEFT's with the name of its adapter or without, kohya's, diffusers' first."""


_SAT = re.compile(
    r"(?:[\w.]+\.)?layers\.(?P<block>0|[1-9]\d{0,3})\.attention\."
    r"(?P<module>query_key_value|dense)\.matrix_(?P<factor>[AB])\.(?P<part>[0-2])"
)
"""SAT's names, by ``tools/export_sat_lora_weight.py`` of zai-org/CogVideo."""


_SAT_MODULES = {
    ("query_key_value", 0): "attn1.to_q",
    ("query_key_value", 1): "attn1.to_k",
    ("query_key_value", 2): "attn1.to_v",
    ("dense", 0): "attn1.to_out.0",
}


_ROLES: dict[str | None, Role] = {
    "A": "down", "B": "up", "down": "down", "up": "up", "alpha": "alpha"
}  # fmt: skip


_WRAPPERS = {"_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module"}
"""Parts of a name that torch adds where a module is compiled, checkpointed or sharded."""


_PREFIXES = {"transformer", "diffusion_model", "base_model", "model", "module", "unet", "dit"}
"""Parts of a name that may precede the module's."""


_KOHYA = re.compile(r"lora_(?:unet|transformer)_+(?P<flat>\w+)")


_TEXT_ENCODER = re.compile(r"lora_te\d?_|(.*\.)?text_(encoder|model)")


_OTHER_KINDS = (
    (r"magnitude|dora_scale", "DoRA (magnitude vectors)", "without DoRA"),
    (r"hada_", "LoHa", "as a plain LoRA"),
    (r"lokr_", "LoKr", "as a plain LoRA"),
    (r"lora_mid", "LoCon with a Tucker decomposition", "as a plain LoRA"),
    (r"\.diff(_b|_m)?$", "whole differences of weights (diff)", "as a plain LoRA"),
    (r"oft_|boft_", "OFT", "as a plain LoRA"),
    (r"lora_embedding_[AB]", "a LoRA of an embedding", "for linear modules only"),
    (r"lora.*\.bias$|lora_bias", "a LoRA with biases", "without lora_bias"),
    (r"vera_lambda|ia3_|glora", "another kind of adapter", "as a plain LoRA"),
)
"""Patterns of tensor names that plain LoRAs lack, what they are, and how to train instead."""


def parse_key(name: str) -> Key | None:
    """A tensor's name taken apart; None for a name of no LoRA."""
    if sat := _SAT.fullmatch(name):
        module = _SAT_MODULES.get((sat["module"], int(sat["part"])))
        full = f"transformer_blocks.{sat['block']}.{module}" if module else ""
        return Key(full, _ROLES[sat["factor"]], "SAT")
    match = _SUFFIX.fullmatch(name)
    if match is None:
        return None
    role = _ROLES[match["peft"] or match["kohya"] or match["early"] or match["alpha"]]
    module, format_ = _module(match["module"])
    return Key(module, role, "PEFT" if match["adapter"] and format_ == "diffusers" else format_)


def other_kind(name: str) -> tuple[str, str]:
    """What an adapter with this tensor is other than a plain LoRA, and how to train one instead."""
    if _TEXT_ENCODER.match(name):
        return "a LoRA of the text encoder", "for the transformer only"
    return next(((w, how) for p, w, how in _OTHER_KINDS if re.search(p, name)), ("", ""))


def of_whole_model(name: str) -> bool:
    """Whether a tensor's name is that of a weight of a CogVideoX transformer."""
    parts = _bare(name.rpartition(".")[0])
    return name.endswith((".weight", ".bias")) and bool(
        _module(".".join(parts))[0] or re.search(r"(^|\.)layers\.\d+\.(attention|mlp)\.", name)
    )


def _module(name: str) -> tuple[str, str]:
    """The module of a name, or '', and the format that calls it so."""
    if kohya := _KOHYA.fullmatch(name):
        return from_kohya(kohya["flat"]), "kohya"
    parts = _bare(name)
    for i in range(len(parts)):
        module = ".".join(parts[i:])
        if is_module(module):
            return module, _format(parts[:i])
        if renamed := from_diffsynth(module):
            return renamed, "DiffSynth"
        if parts[i] not in _PREFIXES:
            break
    return "", ""


def _bare(name: str) -> list[str]:
    return [part for part in name.split(".") if part not in _WRAPPERS]


def _format(prefix: list[str]) -> str:
    if "base_model" in prefix:
        return "PEFT"
    return "ComfyUI" if "diffusion_model" in prefix else "diffusers"
