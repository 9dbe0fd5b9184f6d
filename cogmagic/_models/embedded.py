"""Checkpoints of the embedded models, which share files.

`tiny` is a whole checkpoint in the package. The folder of any other one in the package has the
components that differ, and its checkpoint consists of those and of `tiny`'s other components. It is
a folder of symbolic links in cogmagic's cache, like a snapshot in the hub's cache, so that
cogmagic, diffusers and everybody else see a checkpoint as any other.
"""

from __future__ import annotations

import hashlib
import shutil
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

from cogmagic._errors import CheckpointError
from cogmagic._files import cache_folder

__all__ = ["embedded_folder"]


_PACKAGE = Path(__file__).parents[1] / "models"


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
    files = _files_of(name)
    try:
        return _joined(files, cache_folder() / "models" / f"{name}-{_digest(files)}")
    except OSError:  # a cache that cannot be written is no error
        with suppress(OSError):
            return _joined(files, Path(_temporary()) / name)
    raise CheckpointError(
        f"{name} needs a folder of links to {_PACKAGE}, but neither {cache_folder()} nor a"
        " temporary folder can be written. Set COGMAGIC_CACHE to a folder that can."
    )


def _files_of(name: str) -> dict[str, Path]:
    """The files of an embedded model's checkpoint, by their paths in it."""
    folder, whole = _PACKAGE / name, _PACKAGE / _WHOLE
    own = {f.relative_to(folder): f for f in folder.glob("**/*") if f.is_file()}
    components = {path.parts[0] for path in own}
    shared = {f.relative_to(whole): f for f in whole.glob("*/*")}
    shared = {path: f for path, f in shared.items() if path.parts[0] not in components}
    return {path.as_posix(): f for path, f in sorted((own | shared).items())}


def _digest(files: dict[str, Path]) -> str:
    """A digest of where the files are and of when they changed, as another version's differ."""
    stats = [(path, str(f), f.stat().st_size, f.stat().st_mtime_ns) for path, f in files.items()]
    return hashlib.sha256(repr(stats).encode()).hexdigest()[:12]


def _joined(files: dict[str, Path], folder: Path) -> Path:
    """The folder that has all of `files`, which is made unless it is there and complete.

    Raises:
        OSError: when it cannot be written.
    """
    if _is_complete(files, folder):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as part:
        new = Path(part) / folder.name
        for path, file in files.items():
            (new / path).parent.mkdir(parents=True, exist_ok=True)
            _link(file, new / path)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            new.rename(folder)
        except OSError:
            if not _is_complete(files, folder):  # else another process was faster
                raise
    return folder


def _is_complete(files: dict[str, Path], folder: Path) -> bool:
    try:
        return all((folder / p).stat().st_size == f.stat().st_size for p, f in files.items())
    except OSError:
        return False


def _link(file: Path, link: Path) -> None:
    """Link to a file, or copy it where links are not allowed (Windows, some network disks)."""
    try:
        link.symlink_to(file)
    except (OSError, NotImplementedError):
        shutil.copy2(file, link)


@cache
def _temporary() -> str:
    """A folder of this process, which is removed when it ends."""
    import atexit

    folder = mkdtemp(prefix="cogmagic-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
