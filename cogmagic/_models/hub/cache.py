"""Hugging Face's cache: where a repository's files are, and whether they are still whole."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from cogmagic._models.weights import damage

__all__ = [
    "PART",
    "SHA256",
    "intact",
    "intact_weights",
    "length",
    "main_snapshot",
    "point_main_at",
    "repository_folder",
    "sweep",
]


PART = ".cogmagic.part"
"""What the name of an unfinished blob ends in."""


SHA256 = re.compile(r"[0-9a-f]{64}")


_SHA1 = re.compile(r"[0-9a-f]{40}")


def repository_folder(repo_id: str) -> Path:
    """Where the cache keeps a repository."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    return Path(constants.HF_HUB_CACHE, str(repo_folder_name(repo_id=repo_id, repo_type="model")))


def main_snapshot(repo_id: str) -> Path | None:
    """The cached folder of the branch ``main``, whole or not."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(repo_id, "model_index.json")
    except HFValidationError:  # no hub id, so nothing can be there
        return None
    return Path(found).parent if isinstance(found, str) else None


def point_main_at(repo_id: str, commit: str) -> None:
    """Make a commit the one that is meant by ``main`` when nobody can ask the hub."""
    ref = repository_folder(repo_id) / "refs" / "main"
    if ref.is_file() and ref.read_text() == commit:
        return
    ref.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own: another kernel may be doing the same.
    with NamedTemporaryFile("w", dir=ref.parent.parent, delete=False) as new:
        new.write(commit)
    Path(new.name).replace(ref)


def intact(file: Path, size: int | None = None) -> bool:
    """Whether a cached file has its length, and is what it was when it came.

    Weights are judged by their header alone: to hash them takes as long as to load them.
    """
    if file.suffix == ".safetensors":
        return intact_weights(file, size)
    if not file.is_file() or (size is not None and file.stat().st_size != size):
        return False
    name = file.resolve().name  # a blob is named for its content; a copy has its own name
    content = file.read_bytes()
    if SHA256.fullmatch(name):
        return hashlib.sha256(content).hexdigest() == name
    if _SHA1.fullmatch(name):  # git's, on the hub; the file's own, on some mirrors
        git = b"blob %d\0" % len(content)
        return name in {
            hashlib.sha1(c, usedforsecurity=False).hexdigest() for c in (git + content, content)
        }
    return True


def intact_weights(file: Path, size: int | None) -> bool:
    """Whether a safetensors file has its length and a header that agrees with it."""
    if not file.is_file() or (size is not None and file.stat().st_size != size):
        return False
    try:
        return not damage(file)
    except OSError:
        return False


def sweep(repo_id: str) -> None:
    """Remove the beginnings of files that are of no use any more: the checkpoint is whole."""
    from filelock import Timeout
    from huggingface_hub.utils import WeakFileLock

    folder = repository_folder(repo_id)
    for part in (folder / "blobs").glob(f"*{PART}"):
        lock = folder.parent / ".locks" / folder.name / f"{part.name.removesuffix(PART)}.lock"
        with suppress(Timeout, OSError), WeakFileLock(lock, timeout=0.1):
            part.unlink(missing_ok=True)


def length(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    return path.stat().st_size if path.is_file() else 0
