"""Checks of a checkpoint folder: is it a complete CogVideoX pipeline?

Only file names, small JSON files and the headers of weight files are read, so a folder that is
incomplete or of another kind is refused before anything heavy happens.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cogmagic._errors import CheckpointError
from cogmagic._models.catalog import nearest
from cogmagic._models.checkpoints.config_checks import read_configs
from cogmagic._models.checkpoints.json_files import read_json
from cogmagic._models.checkpoints.makes import no_pipeline, other_pipeline
from cogmagic._models.checkpoints.plain_weights import check_plain
from cogmagic._models.checkpoints.quantised import check_not_quantised
from cogmagic._models.checkpoints.stored_weights import stored_weights
from cogmagic._models.checkpoints.vocabulary import check_tokenizer
from cogmagic._models.checkpoints.weights import incomplete
from cogmagic._models.family import (
    COMPONENT_CLASSES,
    PIPELINES,
    WEIGHTED_COMPONENTS,
    Configs,
    config_file,
)

__all__ = ["check_complete", "check_configs", "check_folder", "check_small_files", "fingerprint"]


_RUNNABLE = (
    *PIPELINES.values(),
    "CogVideoXVideoToVideoPipeline",
    "CogVideoXFunPipeline",
    "CogVideoXFunInpaintPipeline",
    "CogVideoX_Fun_Pipeline",
    "CogVideoX_Fun_Pipeline_Inpaint",
)
"""Pipeline classes that cogmagic runs. Video to video has a text-to-video model's transformer; the
names of CogVideoX-Fun are its authors' classes, in whose place cogmagic has one of its own."""


_HARMLESS = {"safety_checker", "feature_extractor"}
"""Components of other pipelines that do not change the video."""


def check_folder(folder: Path) -> None:
    """Refuse a folder that is not a complete CogVideoX pipeline with plain weights.

    Raises:
        CheckpointError: naming the file that is missing, cut short or damaged, or the value or the
            tensors that no CogVideoX has.
    """
    check_small_files(folder, str(folder))
    check_complete(folder)
    check_plain(folder)


def check_complete(folder: Path) -> None:
    """Refuse a folder that is not a complete CogVideoX pipeline.

    Raises:
        CheckpointError: naming the file that is missing, cut short or damaged.
    """
    _check_index(folder, str(folder))
    for component in COMPONENT_CLASSES:
        config = config_file(component)
        if component != "tokenizer" and not (folder / config).is_file():
            raise incomplete(folder, f"{config} is missing")
    if not any((folder / "tokenizer" / n).is_file() for n in ("tokenizer.json", "spiece.model")):
        raise incomplete(folder, "tokenizer/spiece.model is missing")
    for component in WEIGHTED_COMPONENTS:
        stored_weights(folder, component)


def check_small_files(folder: Path, label: str) -> None:
    """Refuse a checkpoint by its configurations and its tokenizer; the weights may be missing.

    Args:
        folder: the folder of the files.
        label: name of the checkpoint in the message.

    Raises:
        CheckpointError: naming the file and the value.
    """
    check_configs(folder, label)
    check_tokenizer(folder, label)


def check_configs(folder: Path, label: str, *, in_memory: bool = False) -> Configs:
    """The configurations of a CogVideoX pipeline, with the classes' defaults for missing keys.

    Args:
        folder: the folder of the files.
        label: name of the checkpoint in messages.
        in_memory: whether the components are loaded already (`read_configs`).

    Raises:
        CheckpointError: naming the file, and what it describes instead.
    """
    index = _check_index(folder, label)
    return read_configs(folder, label, index, in_memory=in_memory)


def _check_index(folder: Path, label: str) -> dict[str, Any]:
    """The content of ``model_index.json``, which must describe a CogVideoX pipeline.

    Raises:
        CheckpointError: naming what the file describes instead.
    """
    if not (folder / "model_index.json").is_file():
        raise no_pipeline(label, (), folder)
    index = read_json(folder / "model_index.json")
    if index.get("_class_name") not in _RUNNABLE:
        raise other_pipeline(label, index.get("_class_name"))
    check_not_quantised(folder, label, "", index)
    for component, classes in COMPONENT_CLASSES.items():
        entry = index.get(component)
        library, name = entry if isinstance(entry, list) and len(entry) == 2 else (None, None)
        named = isinstance(library, str) and isinstance(name, str)
        if not named or library not in {"diffusers", "transformers"} or name not in classes:
            raise CheckpointError(
                f"{label}: its {component} is {name or 'missing'}, where a CogVideoX pipeline has"
                f" {' or '.join(sorted(classes))}. Use --model {nearest(label).name}."
            )
    for key, entry in index.items():
        known = key in COMPONENT_CLASSES or key in _HARMLESS or key.startswith("_")
        if not known and isinstance(entry, list) and any(isinstance(e, str) for e in entry):
            raise CheckpointError(
                f"{label}: its model_index.json has the component {key:.40}"
                f" ({entry[-1]!s:.80}), which no CogVideoX pipeline has and cogmagic would leave"
                " out. Use a checkpoint without it, such as --model 5b."
            )
    return index


def fingerprint(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Path, size in bytes and modification time (ns) of every file of a checkpoint."""
    files = sorted(p for p in folder.glob("*/*") if p.is_file())
    stats = [(p, p.stat()) for p in files]
    return tuple((str(p), s.st_size, s.st_mtime_ns) for p, s in stats)
