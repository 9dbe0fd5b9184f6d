"""Hugging Face's cache on disk: a repository's files, and whether they are intact."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from cogmagic._models.checkpoints.weights import damage

__all__ = [
    "PART",
    "SHA256",
    "file_size",
    "intact",
    "intact_weights",
    "main_folder",
    "main_snapshot",
    "point_main_at",
    "remove_partial_files",
    "repository_folder",
]


PART = ".cogmagic.part"
"""Suffix of an unfinished blob."""


SHA256 = re.compile(r"[0-9a-f]{64}")


_SHA1 = re.compile(r"[0-9a-f]{40}")


def repository_folder(repo_id: str) -> Path:
    """The folder of a repository in the cache."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    return Path(constants.HF_HUB_CACHE, str(repo_folder_name(repo_id=repo_id, repo_type="model")))


def main_folder(repo_id: str) -> Path | None:
    """The cached snapshot of the branch ``main`` of any repository; None without one."""
    repository = repository_folder(repo_id)
    try:
        commit = (repository / "refs" / "main").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    folder = repository / "snapshots" / commit
    return folder if commit and folder.is_dir() else None


def main_snapshot(repo_id: str) -> Path | None:
    """The cached snapshot of the branch ``main``, complete or not; None without one."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        index = try_to_load_from_cache(repo_id, "model_index.json")
    except (HFValidationError, UnicodeDecodeError):  # not a hub id, or a damaged ``refs/main``
        return None
    return Path(index).parent if isinstance(index, str) else None


def point_main_at(repo_id: str, commit: str) -> None:
    """Make a commit the cache's ``main``, which is used when the hub cannot be reached."""
    ref = repository_folder(repo_id) / "refs" / "main"
    if ref.is_file() and ref.read_bytes() == commit.encode():
        return
    ref.parent.mkdir(parents=True, exist_ok=True)
    # A unique name: another kernel may be doing the same.
    with NamedTemporaryFile("w", dir=ref.parent.parent, delete=False) as temporary:
        temporary.write(commit)
    Path(temporary.name).replace(ref)


def intact(file: Path, size: int | None = None) -> bool:
    """Whether a cached file has its length and the content that the hub sent.

    Of weights only the header is checked: hashing them takes as long as loading them.
    """
    if file.suffix == ".safetensors":
        return intact_weights(file, size)
    if not file.is_file() or (size is not None and file.stat().st_size != size):
        return False
    name = file.resolve().name  # a blob is named by its hash; a copy is not
    content = file.read_bytes()
    if SHA256.fullmatch(name):
        return hashlib.sha256(content).hexdigest() == name
    if _SHA1.fullmatch(name):  # git's hash on the hub, the plain one on some mirrors
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


def remove_partial_files(repo_id: str) -> None:
    """Remove partial files of a repository whose checkpoint is complete."""
    from filelock import Timeout
    from huggingface_hub.utils import WeakFileLock

    folder = repository_folder(repo_id)
    for part in (folder / "blobs").glob(f"*{PART}"):
        lock = folder.parent / ".locks" / folder.name / f"{part.name.removesuffix(PART)}.lock"
        with suppress(Timeout, OSError), WeakFileLock(lock, timeout=0.1):
            part.unlink(missing_ok=True)


def file_size(path: Path) -> int:
    """Size of a file in bytes; 0 if it does not exist."""
    return path.stat().st_size if path.is_file() else 0
