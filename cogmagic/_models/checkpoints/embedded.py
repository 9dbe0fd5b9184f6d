"""Checkpoints of the embedded models, which share files.

`tiny` is a whole checkpoint in the package. The folder of any other one in the package has the
components that differ, and its checkpoint consists of links to those and to `tiny`'s others.
"""

from __future__ import annotations

from pathlib import Path

from cogmagic._errors import CheckpointError
from cogmagic._files import cache_folder
from cogmagic._models.checkpoints.linked import linked

__all__ = ["embedded_folder"]


_PACKAGE = Path(__file__).parents[2] / "models"


_WHOLE = "tiny"
"""The embedded model whose components the others share."""


def embedded_folder(name: str = _WHOLE) -> Path:
    """The checkpoint of an embedded model.

    Raises:
        CheckpointError: when its links can be written neither to the cache nor to a temporary
            folder.
    """
    if name == _WHOLE:
        return _PACKAGE / name
    folder = linked(name, _files_of(name))
    if folder is None:
        raise CheckpointError(
            f"{name} needs a folder of links to {_PACKAGE}, but neither {cache_folder()} nor a"
            " temporary folder can be written. Set COGMAGIC_CACHE to a writable folder."
        )
    return folder


def _files_of(name: str) -> dict[str, Path]:
    """The files of an embedded model's checkpoint, by their paths in it."""
    folder, whole = _PACKAGE / name, _PACKAGE / _WHOLE
    own = {f.relative_to(folder): f for f in folder.glob("**/*") if f.is_file()}
    components = {path.parts[0] for path in own}
    shared = {f.relative_to(whole): f for f in whole.glob("*/*")}
    shared = {path: f for path, f in shared.items() if path.parts[0] not in components}
    return {path.as_posix(): f for path, f in sorted((own | shared).items())}
