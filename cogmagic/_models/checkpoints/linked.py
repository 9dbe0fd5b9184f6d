"""Checkpoints that consist of files in several places: folders of links in cogmagic's cache.

They are like a snapshot in the hub's cache, so that cogmagic, diffusers and everybody else see a
checkpoint as any other.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

from cogmagic._files import cache_folder

__all__ = ["Files", "linked"]


Files = Mapping[str, Path | bytes]
"""The files of a checkpoint by their paths in it: where they are, or their content."""


def linked(name: str, files: Files) -> Path | None:
    """The folder of a checkpoint that has all of `files`, which is made unless it is complete.

    Args:
        name: the model's, with which the folder's name begins.
        files: of the checkpoint.

    Returns:
        None where neither the cache nor a temporary folder can be written.
    """
    try:
        return _joined(files, cache_folder() / "models" / f"{name}-{_digest(files)}")
    except OSError:  # a cache that cannot be written is no error
        with suppress(OSError):
            return _joined(files, Path(_temporary()) / name)
    return None


def _digest(files: Files) -> str:
    """A digest of where the files are and of when they changed, as another version's differ."""
    stats = [(path, *_facts(file)) for path, file in files.items()]
    return hashlib.sha256(repr(stats).encode()).hexdigest()[:12]


def _facts(file: Path | bytes) -> tuple[object, ...]:
    if isinstance(file, bytes):
        return (file,)
    info = file.stat()
    return str(file), info.st_size, info.st_mtime_ns


def _joined(files: Files, folder: Path) -> Path:
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
            if isinstance(file, bytes):
                (new / path).write_bytes(file)
            else:
                _link(file, new / path)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            new.rename(folder)
        except OSError:
            if not _is_complete(files, folder):  # else another process was faster
                raise
    return folder


def _is_complete(files: Files, folder: Path) -> bool:
    try:
        return all((folder / p).stat().st_size == _size(f) for p, f in files.items())
    except OSError:
        return False


def _size(file: Path | bytes) -> int:
    return len(file) if isinstance(file, bytes) else file.stat().st_size


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
