"""LoRA files: one adapter for the embedded model, written in the keys of every trainer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cogmagic._footprint.configs import table
from cogmagic._models.adapters.modules import module_shapes

RANK = 4

ATTENTION = ("attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0")


def shapes(model: str = "tiny") -> dict[str, tuple[int, ...]]:
    """The weight shapes of a catalogue model's modules."""
    return module_shapes(table()["models"][model]["configs"]["transformer"])


def factors(
    names: tuple[str, ...] = ATTENTION, *, model: str = "tiny", rank: int = RANK, seed: int = 0
) -> dict[str, tuple[Any, Any]]:
    """Random factors (down, up) of modules, by module; `names` are the ends of their names."""
    import torch

    random = torch.Generator().manual_seed(seed)
    made = {}
    for module, (outputs, inputs, *kernel) in shapes(model).items():
        if module.endswith(names):
            down = torch.randn((rank, inputs, *kernel), generator=random)
            up = torch.randn((outputs, rank, *(1 for _ in kernel)), generator=random)
            made[module] = (down / inputs**0.5, up * 0.1)
    return made


def write(
    file: Path,
    tensors: Mapping[str, Any],
    metadata: dict[str, str] | None = None,
    dtype: Any = None,
) -> Path:
    """A safetensors file of these tensors."""
    from safetensors.torch import save_file

    file.parent.mkdir(parents=True, exist_ok=True)
    made = {name: t.to(dtype or t.dtype).contiguous().clone() for name, t in tensors.items()}
    save_file(made, file, metadata={"format": "pt"} | (metadata or {}))
    return file


def diffusers_keys(layers: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
    """The tensors as diffusers' trainers and finetrainers save them."""
    return named(layers, "transformer.{module}.lora_{AB}.weight")


def named(layers: Mapping[str, tuple[Any, Any]], pattern: str) -> dict[str, Any]:
    """The tensors by names of that pattern: ``{module}`` or ``{flat}``, ``{AB}`` or ``{down}``."""
    tensors = {}
    for module, both in layers.items():
        for letter, word, tensor in zip("AB", ("down", "up"), both, strict=True):
            flat = module.replace(".", "_")
            tensors[pattern.format(module=module, flat=flat, AB=letter, down=word)] = tensor
    return tensors


def sat_keys(layers: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
    """The tensors as SAT stores them (zai-org/CogVideo, ``tools/export_sat_lora_weight.py``)."""
    places = {
        "attn1.to_q": "query_key_value.matrix_{}.0",
        "attn1.to_k": "query_key_value.matrix_{}.1",
        "attn1.to_v": "query_key_value.matrix_{}.2",
        "attn1.to_out.0": "dense.matrix_{}.0",
    }
    tensors = {}
    for module, (down, up) in layers.items():
        _, block, name = module.split(".", 2)
        stem = f"model.diffusion_model.transformer.layers.{block}.attention.{places[name]}"
        tensors |= {stem.format("A"): down, stem.format("B"): up}
    return tensors


def diffsynth_keys(layers: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
    """The tensors as DiffSynth saves them, in the names of its ``CogDiT``."""
    renamed = {
        ".to_out.0": ".to_out",
        "ff.net.0.proj": "ff.0",
        "ff.net.2": "ff.2",
        "transformer_blocks": "blocks",
        "patch_embed.text_proj": "context_embedder",
        "time_embedding.linear_1": "time_embedder.timestep_embedder.0",
        "time_embedding.linear_2": "time_embedder.timestep_embedder.2",
    }
    made = {}
    for name, tensor in named(layers, "{module}.lora_{AB}.default.weight").items():
        for ours, theirs in renamed.items():
            name = name.replace(ours, theirs)
        made[name] = tensor
    return made


def with_alphas(tensors: Mapping[str, Any], alpha: Any) -> dict[str, Any]:
    """The tensors of kohya's format, with an alpha beside every pair."""
    stems = {name.partition(".")[0] for name in tensors}
    return {**tensors, **{f"{stem}.alpha": alpha.clone() for stem in stems}}
