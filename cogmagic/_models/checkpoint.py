"""Checks of a checkpoint folder: is it a complete CogVideoX pipeline?

Only file names, small JSON files and the headers of weight files are read, so a folder that is
incomplete or of another kind is refused before anything heavy happens.
"""

from __future__ import annotations

from pathlib import Path

from cogmagic._errors import CheckpointError
from cogmagic._models.family import WEIGHTED_COMPONENTS
from cogmagic._models.json_files import read_json
from cogmagic._models.plain_weights import check_plain
from cogmagic._models.weights import incomplete, stored_weights

__all__ = ["COMPONENT_CLASSES", "check_complete", "check_folder", "check_index", "fingerprint"]


COMPONENT_CLASSES = {
    "text_encoder": {WEIGHTED_COMPONENTS["text_encoder"][1]},
    "tokenizer": {"T5Tokenizer", "T5TokenizerFast"},
    "transformer": {WEIGHTED_COMPONENTS["transformer"][1]},
    "vae": {WEIGHTED_COMPONENTS["vae"][1]},
    "scheduler": {"CogVideoXDDIMScheduler", "CogVideoXDPMScheduler"},
}
"""The components of a CogVideoX pipeline, with the classes that each may have."""


def check_folder(folder: Path) -> None:
    """Refuse a folder that is not a complete CogVideoX pipeline with plain weights.

    Raises:
        CheckpointError: naming the file that is missing, cut short or damaged, or the tensors.
    """
    check_complete(folder)
    check_plain(folder)


def check_complete(folder: Path) -> None:
    """Refuse a folder that is not a complete CogVideoX pipeline.

    Raises:
        CheckpointError: naming the file that is missing, cut short or damaged.
    """
    check_index(folder)
    for component in COMPONENT_CLASSES:
        name = "scheduler_config.json" if component == "scheduler" else "config.json"
        if component != "tokenizer" and not (folder / component / name).is_file():
            raise incomplete(folder, f"{component}/{name} is missing")
    if not any((folder / "tokenizer" / n).is_file() for n in ("tokenizer.json", "spiece.model")):
        raise incomplete(folder, "tokenizer/spiece.model is missing")
    for component in WEIGHTED_COMPONENTS:
        stored_weights(folder, component)


def check_index(folder: Path, label: str = "") -> None:
    """Refuse a folder whose ``model_index.json`` does not describe a CogVideoX pipeline.

    Args:
        folder: the folder of the file.
        label: name of the checkpoint in the message; default the folder.

    Raises:
        CheckpointError: naming what the file describes instead.
    """
    label = label or str(folder)
    if not (folder / "model_index.json").is_file():
        raise CheckpointError(
            f"{label} is not a diffusers pipeline: it has no model_index.json. Point --model at"
            " the folder that holds transformer/, vae/, text_encoder/, tokenizer/ and scheduler/."
        )
    index = read_json(folder / "model_index.json")
    pipeline = index.get("_class_name")
    if not (isinstance(pipeline, str) and pipeline.startswith("CogVideoX")):
        raise CheckpointError(f"{label} holds a {pipeline}, not a CogVideoX pipeline.")
    for component, classes in COMPONENT_CLASSES.items():
        entry = index.get(component)
        library, name = entry if isinstance(entry, list) and len(entry) == 2 else (None, None)
        named = isinstance(library, str) and isinstance(name, str)
        if not named or library not in {"diffusers", "transformers"} or name not in classes:
            raise CheckpointError(
                f"{label}: its {component} is {name or 'missing'}, where a CogVideoX pipeline has"
                f" {' or '.join(sorted(classes))}."
            )


def fingerprint(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Path, size in bytes and modification time (ns) of every file of a checkpoint."""
    files = sorted(p for p in folder.glob("*/*") if p.is_file())
    stats = [(p, p.stat()) for p in files]
    return tuple((str(p), s.st_size, s.st_mtime_ns) for p, s in stats)
