"""The model of a checkpoint folder, identified by its configurations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from cogmagic._errors import plain_line
from cogmagic._models.catalog import MODELS
from cogmagic._models.checkpoints.folder import check_configs, check_folder
from cogmagic._models.checkpoints.packed_estimate import packed_by_configs
from cogmagic._models.checkpoints.packed_layers import packed_of, plain_part
from cogmagic._models.checkpoints.weights import bytes_per_dtype
from cogmagic._models.family import (
    VOID_LONGEST,
    VOID_MOST,
    WEIGHTED_COMPONENTS,
    Configs,
    task_of,
)
from cogmagic._models.model import Architecture, Dtype, Frames, Model, Sizes, Stored, Task

__all__ = ["identify", "with_packed"]


_DTYPES: dict[str, Dtype] = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""safetensors' names of the precisions that a pipeline is loaded in."""


def identify(
    folder: Path, source: str, *, has_weights: bool = True, in_memory: bool = False
) -> Model:
    """The model that a folder's configurations describe.

    An architecture of the catalogue takes the catalogue's rules; any other takes the native size
    and frame count of its own configuration.

    Args:
        folder: the checkpoint, or its configurations alone.
        source: the model's `Model.source`.
        has_weights: whether the weights are in the folder, too.
        in_memory: whether the components are loaded already, so that quantised ones may pass.

    Raises:
        CheckpointError: when the folder is not a CogVideoX pipeline, or an incomplete one.
    """
    if has_weights:
        check_folder(folder)
    label = str(folder) if has_weights else source
    configs = check_configs(folder, label, in_memory=in_memory)
    config = configs["transformer"]
    architecture = _architecture(config)
    tokens = config["max_text_seq_length"]
    alike = (m for m in MODELS if (m.architecture, m.max_tokens) == (architecture, tokens))
    model = next(alike, None) or _foreign(folder, source, configs, architecture)
    if has_weights:
        stored = _stored(folder)
    else:
        packed = () if in_memory else packed_by_configs(configs)
        stored = replace(model.stored, packed=packed)
    return replace(model, source=source, also=(), stored=stored)  # alike, but other weights


def _architecture(config: Mapping[str, Any]) -> Architecture:
    return Architecture(
        in_channels=config["in_channels"],
        num_layers=config["num_layers"],
        num_attention_heads=config["num_attention_heads"],
        attention_head_dim=config["attention_head_dim"],
        patch_size_t=config["patch_size_t"],
        learned_positions=config["use_learned_positional_embeddings"],
        rotary=config["use_rotary_positional_embeddings"],
    )


def _foreign(folder: Path, source: str, configs: Configs, architecture: Architecture) -> Model:
    """A model outside the catalogue, with the rules of the 1.0 or 1.5 family."""
    config = configs["transformer"]
    width, height = config["sample_width"] * 8, config["sample_height"] * 8
    task = cast("Task", task_of(architecture.in_channels, config["out_channels"]) or "t2v")
    scheduler = configs.get("scheduler", {}).get("_class_name", "")
    return Model(
        name=plain_line(folder.name if Path(source).is_absolute() else source.rpartition("/")[2]),
        source=source,
        task=task,
        width=width,
        height=height,
        sizes=Sizes(
            (16, max(768, height)), (16, max(1360, width)), exact=architecture.learned_positions
        ),
        frames=_frames_of(task, config),
        fps=16 if architecture.patch_size_t else 8,
        dtype="bfloat16",
        scheduler="dpm" if scheduler == "CogVideoXDPMScheduler" else "ddim",
        dynamic_guidance=False,
        architecture=architecture,
        max_tokens=config["max_text_seq_length"],
    )


def _frames_of(task: Task, config: Mapping[str, Any]) -> Frames:
    """The rule of frames, up to the number of the configuration.

    CogVideoX 1.5's inpainting models pad what does not come in pairs, and VOID any number.
    """
    most = config["sample_frames"]
    if task == "void":
        default = max(most, 2)
        most = max(most, VOID_MOST)
        return Frames(default, step=1, least=2, most=most, longest=max(most, VOID_LONGEST))
    paired = bool(config["patch_size_t"])
    step = (4 if task == "inp" else 16) if paired else 8
    least = 9 if paired and task == "inp" else step + 1
    count = max(most // step * step + 1, least)
    return Frames(default=count, step=step, least=least, most=count)


def with_packed(model: Model, folder: Path) -> Model:
    """The model with the quantised layers of its files, if they have some.

    Args:
        model: identified by its configurations alone.
        folder: its complete checkpoint.
    """
    if not any(packed_of(folder, name) for name in WEIGHTED_COMPONENTS):
        return model
    return replace(model, stored=_stored(folder))


def _stored(folder: Path) -> Stored:
    """The precision of most of each component's bytes; None where it is not a loadable one.

    Quantised layers do not count for it.
    """
    precisions: dict[str, Dtype | None] = {}
    for component in WEIGHTED_COMPONENTS:
        nbytes = bytes_per_dtype(plain_part(folder, component).tensors)
        precisions[component] = _DTYPES.get(max(nbytes, key=nbytes.__getitem__, default=""))
    packed = (packed_of(folder, component) for component in WEIGHTED_COMPONENTS)
    return Stored(**precisions, packed=tuple(filter(None, packed)))
