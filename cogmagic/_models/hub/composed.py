"""Checkpoints whose transformer is one file of a repository, and whose rest is another's pipeline.

VOID's is such a one: its repository has no pipeline, and its authors load the file into the
transformer of CogVideoX-Fun. Here the two are a folder of links, which is loaded as any other.
"""

from __future__ import annotations

import json
from pathlib import Path

from cogmagic._errors import CheckpointError
from cogmagic._models.checkpoints.folder import check_complete
from cogmagic._models.checkpoints.json_files import read_json
from cogmagic._models.checkpoints.linked import linked
from cogmagic._models.hub.cache import intact_weights, main_folder, main_snapshot
from cogmagic._models.model import Model

__all__ = ["composed_folder", "files_without_transformer"]


_TRANSFORMER = "transformer"


def composed_folder(model: Model) -> Path | None:
    """The checkpoint of a model with a `base`, of files in the hub's cache; None if some lack.

    Raises:
        CheckpointError: when the folder of links cannot be written.
    """
    base, own = main_snapshot(model.base), main_folder(model.source)
    weights = own / model.transformer_file if own else None
    config = base / _TRANSFORMER / "config.json" if base else None
    if base is None or weights is None or config is None or not config.is_file():
        return None
    if not intact_weights(weights, None):
        return None
    channels = {"in_channels": model.architecture.in_channels}
    files: dict[str, Path | bytes] = dict(files_without_transformer(base))
    files[f"{_TRANSFORMER}/config.json"] = json.dumps(read_json(config) | channels).encode()
    files[f"{_TRANSFORMER}/diffusion_pytorch_model.safetensors"] = weights
    folder = linked(model.name, files)
    if folder is None:
        raise CheckpointError(
            f"{model.name} needs a folder of links to the hub's cache, but none can be written. Set"
            " COGMAGIC_CACHE to a writable folder."
        )
    try:
        check_complete(folder)
    except CheckpointError:
        return None
    return folder


def files_without_transformer(snapshot: Path) -> dict[str, Path]:
    """The files of a cached pipeline without its transformer, by their paths in it."""
    paths = (p for p in snapshot.rglob("*") if p.is_file())
    named = {p.relative_to(snapshot).as_posix(): p for p in sorted(paths)}
    return {name: p for name, p in named.items() if not name.startswith(f"{_TRANSFORMER}/")}
