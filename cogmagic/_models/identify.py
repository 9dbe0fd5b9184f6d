"""The model of a checkpoint folder, identified by its configurations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cogmagic._errors import plain_line
from cogmagic._models.catalog import MODELS, Architecture, Dtype, Frames, Model, Sizes, Stored, Task
from cogmagic._models.checkpoint import check_folder, check_index
from cogmagic._models.family import WEIGHTED_COMPONENTS
from cogmagic._models.json_files import Config, read_json
from cogmagic._models.weights import bytes_per_dtype, stored_weights

__all__ = ["identify"]


_DTYPES: dict[str, Dtype] = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""safetensors' names of the precisions that a pipeline is loaded in."""


def identify(folder: Path, source: str, *, has_weights: bool = True) -> Model:
    """The model that a folder's configurations describe.

    An architecture of the catalogue takes the catalogue's rules; any other takes the native size
    and frame count of its own configuration.

    Args:
        folder: the checkpoint, or its configurations alone.
        source: the model's `Model.source`.
        has_weights: whether the weights are in the folder, too.

    Raises:
        CheckpointError: when the folder is not a CogVideoX pipeline, or an incomplete one.
    """
    if has_weights:
        check_folder(folder)
    else:
        check_index(folder, source)
    config = Config(folder / "transformer" / "config.json")
    tokens = _max_tokens(config)
    architecture = _architecture(config)
    alike = (m for m in MODELS if (m.architecture, m.max_tokens) == (architecture, tokens))
    model = next(alike, None) or _foreign(folder, source, config, architecture)
    stored = _stored(folder) if has_weights else model.stored
    return replace(model, source=source, also=(), stored=stored)  # alike, but other weights


def _max_tokens(config: Config) -> int:
    return config.number("max_text_seq_length", 226, 4096)


def _architecture(config: Config) -> Architecture:
    return Architecture(
        in_channels=config.number("in_channels", 16, 512),
        num_layers=config.number("num_layers", 30, 256),
        num_attention_heads=config.number("num_attention_heads", 30, 256),
        patch_size_t=config.number("patch_size_t", 1, 8) if config.get("patch_size_t") else None,
        learned_positions=bool(config.get("use_learned_positional_embeddings", False)),
        rotary=bool(config.get("use_rotary_positional_embeddings", False)),
    )


def _foreign(folder: Path, source: str, config: Config, architecture: Architecture) -> Model:
    """A model outside the catalogue, with the rules of the 1.0 or 1.5 family."""
    out_channels = config.number("out_channels", 16, 512)
    task: Task = "i2v" if architecture.in_channels == 2 * out_channels else "t2v"
    width = config.number("sample_width", 90, 512) * 8
    height = config.number("sample_height", 60, 512) * 8
    count = config.number("sample_frames", 49, 1024)
    scheduler = read_json(folder / "scheduler" / "scheduler_config.json").get("_class_name", "")
    step = 16 if architecture.patch_size_t else 8
    return Model(
        name=plain_line(folder.name if Path(source).is_absolute() else source.rpartition("/")[2]),
        source=source,
        task=task,
        width=width,
        height=height,
        sizes=Sizes(
            (16, max(768, height)), (16, max(1360, width)), exact=architecture.learned_positions
        ),
        frames=Frames(default=count, step=step, least=step + 1, most=max(count, step + 1)),
        fps=16 if architecture.patch_size_t else 8,
        dtype="bfloat16",
        scheduler="dpm" if scheduler == "CogVideoXDPMScheduler" else "ddim",
        dynamic_guidance=False,
        architecture=architecture,
        max_tokens=_max_tokens(config),
    )


def _stored(folder: Path) -> Stored:
    """The precision of most of each component's bytes; None where it is not a loadable one."""
    precisions: dict[str, Dtype | None] = {}
    for component in WEIGHTED_COMPONENTS:
        nbytes = bytes_per_dtype(stored_weights(folder, component).tensors)
        precisions[component] = _DTYPES.get(max(nbytes, key=nbytes.__getitem__, default=""))
    return Stored(**precisions)
