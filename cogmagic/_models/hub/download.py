"""The hub download as a phase of its own: sizes known first, disk space checked, resumable.

Files land in Hugging Face's own cache, so other programs find them. Only the safetensors that the
pipeline will load and the small files that describe them are fetched, and only for a model that the
person named.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cogmagic._errors import CheckpointError, OutputError
from cogmagic._models.catalog import Model
from cogmagic._models.checkpoint import COMPONENT_CLASSES, check_folder
from cogmagic._models.hub.cache import (
    intact,
    length,
    main_snapshot,
    point_main_at,
    repository_folder,
    sweep,
)
from cogmagic._models.hub.errors import explained
from cogmagic._models.hub.transfer import HubFile, fetch, hub_file
from cogmagic._models.weights import WEIGHTED_COMPONENTS, weight_files
from cogmagic._progress import OnProgress, Progress

__all__ = ["cached_folder", "download", "fetch_configs", "fetch_tokenizer"]


_CONFIGS = {"config.json", "scheduler_config.json"}


_INDEXES = {"model.safetensors.index.json", "diffusion_pytorch_model.safetensors.index.json"}


_TIMEOUT = 10.0
"""Seconds that the hub may take to answer; the client's own default is to wait for ever."""


_SPARE = 2**30
"""Bytes left free on the disk after a download."""


@dataclass(frozen=True)
class _Listing:
    """What a repository holds at one commit."""

    repo_id: str
    commit: str
    sizes: dict[str, int]

    @property
    def folder(self) -> Path:
        return repository_folder(self.repo_id) / "snapshots" / self.commit

    def missing(self, paths: list[str]) -> list[str]:
        """Those of `paths` that are not in the cache, or not as the hub has them."""
        return [p for p in paths if not intact(self.folder / p, self.sizes[p])]


def fetch_configs(repo_id: str) -> Path:
    """Fetch the small files that say what a repository holds; the folder they are in.

    A whole checkpoint in the cache is taken as it is. Otherwise the hub is asked; where it cannot
    be, the configurations that an earlier run fetched will do.
    """
    here = main_snapshot(repo_id)
    if here is not None and _is_whole(here):
        return here
    try:
        with explained(repo_id):
            listing = _listing(repo_id)
            return _fetch_small(listing, [p for p in listing.sizes if _is_config(p)])
    except CheckpointError:
        folder = main_snapshot(repo_id)
        if folder is None:
            raise
        return folder


def fetch_tokenizer(model: Model) -> Path:
    """Fetch the tokenizer and configurations (a megabyte); the folder they are in."""
    with explained(model.source):
        listing = _listing(model.source)
        return _fetch_small(listing, _small(listing))


def cached_folder(model: Model) -> Path | None:
    """The whole checkpoint in the local cache, under any of the model's ids, or None."""
    for repo_id in (model.source, *model.also):
        folder = main_snapshot(repo_id)
        if folder is None:
            continue
        try:
            check_folder(folder)
        except CheckpointError:
            continue
        # The client's own check would ask for every file of the repository, pictures included.
        if all(intact(p) for p in _files(folder) if _is_small(p.relative_to(folder).as_posix())):
            return folder
    return None


def download(model: Model, on_progress: OnProgress) -> Path:
    """Bring a model's checkpoint into the cache, from where it was left off; its folder.

    Raises:
        OutputError: when the disk has too little room, before any weights are fetched.
        CheckpointError: when the hub cannot be reached, has no such repository, or sent damage.
    """
    with explained(model.source):
        listing = _listing(model.source)
        folder, small = _fetch_small(listing, _small(listing)), _small(listing)
        weights = _weights(listing)
        files = [hub_file(listing.repo_id, p, listing.commit) for p in listing.missing(weights)]
        total = sum(listing.sizes[p] for p in (*small, *weights))
        _check_room(model.source, sum(f.size - f.present() for f in files))
        _fetch_weights(files, total, on_progress)
        sweep(listing.repo_id)
    check_folder(folder)
    return folder


def _fetch_weights(files: list[HubFile], total: int, on_progress: OnProgress) -> None:
    """Fetch file after file, telling the bytes of the whole checkpoint that are here."""
    began = time.monotonic()
    missing = {f.path: f.size - f.present() for f in files}
    start = done = total - sum(missing.values())

    def tell(file: HubFile, size: int) -> None:
        nonlocal done
        missing[file.path] = file.size - size
        done = max(done, total - sum(missing.values()))
        seconds = time.monotonic() - began
        on_progress(Progress("download", done, total, seconds, note=file.repo_id, start=start))

    on_progress(Progress("download", start, total, start=start))
    for file in files:
        fetch(file, tell)


def _listing(repo_id: str) -> _Listing:
    """Ask the hub what it has now, in one request, and make that the cache's ``main``."""
    from huggingface_hub import HfApi

    info = HfApi().model_info(repo_id, files_metadata=True, timeout=_TIMEOUT)
    files = info.siblings or ()
    sizes = {f.rfilename: int((f.lfs.size if f.lfs else f.size) or 0) for f in files}
    if "model_index.json" not in sizes:
        raise CheckpointError(
            f"{repo_id} is not a diffusers pipeline: it has no model_index.json. A CogVideoX one is"
            " --model 5b (zai-org/CogVideoX-5b)."
        )
    point_main_at(repo_id, str(info.sha))
    return _Listing(repo_id, str(info.sha), sizes)


def _fetch_small(listing: _Listing, paths: list[str]) -> Path:
    """Bring small files into the cache, by the hub client itself."""
    from huggingface_hub import hf_hub_download

    for path in listing.missing(paths):
        there = (listing.folder / path).exists()  # but damaged
        hf_hub_download(listing.repo_id, path, revision=listing.commit, force_download=there)
    return listing.folder


def _is_whole(folder: Path) -> bool:
    try:
        check_folder(folder)
    except CheckpointError:
        return False
    return True


def _is_config(path: str) -> bool:
    folder, _, name = path.rpartition("/")
    return path == "model_index.json" or (folder in COMPONENT_CLASSES and name in _CONFIGS)


def _is_small(path: str) -> bool:
    folder, _, name = path.rpartition("/")
    if folder == "tokenizer":
        return name.endswith((".json", ".model"))
    return _is_config(path) or (folder in COMPONENT_CLASSES and name in _INDEXES)


def _small(listing: _Listing) -> list[str]:
    return [p for p in listing.sizes if _is_small(p)]


def _weights(listing: _Listing) -> list[str]:
    """The weights that a loader would read, by the indexes: no second copies, no pickles."""
    found = []
    for component in WEIGHTED_COMPONENTS:
        for file in weight_files(listing.folder, component):
            path = file.relative_to(listing.folder).as_posix()
            if path not in listing.sizes:
                raise CheckpointError(_no_weights(listing, component, path))
            found.append(path)
    return found


def _no_weights(listing: _Listing, component: str, path: str) -> str:
    pickled = any(p.startswith(f"{component}/") and p.endswith(".bin") for p in listing.sizes)
    if pickled:
        return (
            f"{listing.repo_id} has its {component} only as pickled weights (.bin), which cogmagic"
            " never loads: they can run code. Use a copy saved with safe_serialization=True."
        )
    return f"{listing.repo_id} is incomplete: the hub has no {path} of it."


def _files(folder: Path) -> Iterator[Path]:
    return (p for p in folder.rglob("*") if p.is_file())


def disk_left(cache: Path) -> int:
    """Bytes free on the disk where `cache` is, or will be."""
    there = next(p for p in (cache, *cache.parents) if p.exists())
    return shutil.disk_usage(there).free


def bytes_to_download(model: Model) -> int:
    """About how many bytes of a model's download are not here yet, whole or begun."""
    blobs = (repository_folder(repo_id) / "blobs" for repo_id in (model.source, *model.also))
    here = max(sum(length(file) for file in folder.glob("*")) for folder in blobs)
    return max(model.download_bytes - here, 0)


def disk_for_downloads() -> int:
    """Bytes that a download into the hub's cache may take."""
    from huggingface_hub import constants

    return max(disk_left(Path(constants.HF_HUB_CACHE)) - _SPARE, 0)


def _check_room(repo_id: str, needed: int) -> None:
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    free = disk_left(cache)
    if needed and needed + _SPARE > free:
        raise OutputError(
            f"{repo_id} needs {needed / 1e9:.1f} GB of disk (and {_SPARE / 1e9:.1f} GB to spare),"
            f" but {cache} has {free / 1e9:.1f} GB free. Free some, or set HF_HOME to a larger disk"
            " and restart the kernel."
        )
