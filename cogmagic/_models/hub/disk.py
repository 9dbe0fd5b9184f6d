"""Disk space for downloads: free bytes, and the bytes that a model still needs."""

from __future__ import annotations

import shutil
from pathlib import Path

from cogmagic._errors import OutputError
from cogmagic._models.hub.cache import file_size, main_snapshot, repository_folder
from cogmagic._models.hub.composed import files_without_transformer
from cogmagic._models.model import Model

__all__ = ["bytes_to_download", "check_disk_space", "disk_for_downloads"]


_MARGIN = 2**30
"""Bytes left free on the disk after a download."""


def bytes_to_download(model: Model) -> int:
    """About how many bytes of a model's download are missing from the cache."""
    blobs = (repository_folder(repo_id) / "blobs" for repo_id in (model.source, *model.also))
    cached = max(sum(file_size(file) for file in folder.glob("*")) for folder in blobs)
    if base := main_snapshot(model.base) if model.base else None:
        cached += sum(map(file_size, files_without_transformer(base).values()))
    return max(model.download_bytes - cached, 0)


def disk_for_downloads() -> int:
    """Bytes that a download into the hub's cache may take."""
    return max(_free(_cache()) - _MARGIN, 0)


def check_disk_space(repo_id: str, needed: int) -> None:
    """Refuse a download that would fill the disk of the hub's cache.

    Raises:
        OutputError: with the bytes that it needs and those that are free.
    """
    cache = _cache()
    free = _free(cache)
    if needed and needed + _MARGIN > free:
        raise OutputError(
            f"{repo_id} needs {needed / 1e9:.1f} GB of disk (and {_MARGIN / 1e9:.1f} GB to spare),"
            f" but {cache} has {free / 1e9:.1f} GB free. Free some space, or set HF_HOME to a"
            " larger disk and restart the kernel."
        )


def _cache() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def _free(folder: Path) -> int:
    """Bytes free on the disk of a folder that may not exist yet."""
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    return shutil.disk_usage(existing).free
