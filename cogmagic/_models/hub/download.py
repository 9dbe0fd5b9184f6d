"""Downloads from the hub: sizes known first, disk space checked, resumable.

Files land in Hugging Face's own cache, so other programs find them. Only the safetensors that the
pipeline loads and the small files that describe them are fetched, and only for a model that the
person named.
"""

from __future__ import annotations

import time
from pathlib import Path

from cogmagic._errors import CheckpointError
from cogmagic._models.checkpoints.folder import check_complete, check_folder, check_small_files
from cogmagic._models.checkpoints.plain_weights import check_plain
from cogmagic._models.hub.cache import (
    intact,
    main_snapshot,
    point_main_at,
    remove_partial_files,
)
from cogmagic._models.hub.composed import composed_folder
from cogmagic._models.hub.disk import check_disk_space
from cogmagic._models.hub.errors import explained
from cogmagic._models.hub.listing import Listing, is_small, list_files, read_listing
from cogmagic._models.hub.transfer import HubFile, fetch, hub_file
from cogmagic._models.model import Model
from cogmagic._progress import OnProgress, Progress

__all__ = ["cached_folder", "download", "fetch_configs", "fetch_tokenizer", "fetch_weights"]


def fetch_configs(repo_id: str) -> tuple[Path, int]:
    """Fetch the configurations, which identify a repository's model.

    Returns their folder, and the bytes of the weights: 0 where the hub was not asked.

    A complete checkpoint in the cache is used as it is. Otherwise the hub is asked; where it cannot
    be reached, the configurations that an earlier run fetched are used.
    """
    cached = main_snapshot(repo_id)
    if cached is not None and _is_complete(cached):
        return cached, 0
    try:
        with explained(repo_id):
            listing = read_listing(repo_id)
            return _fetch_small(listing, listing.configs), listing.weights_size
    except CheckpointError:
        folder = main_snapshot(repo_id)
        if folder is None:
            raise
        return folder, 0


def fetch_tokenizer(model: Model) -> Path:
    """Fetch the tokenizer and configurations (a megabyte), and return their folder."""
    with explained(model.base or model.source):
        return _fetch_described(read_listing(model.base or model.source))


def cached_folder(model: Model) -> Path | None:
    """The complete checkpoint in the local cache, under any of the model's ids, or None.

    Raises:
        CheckpointError: when it has values or weights that cogmagic does not run: another download
            would bring the same.
    """
    if model.base:
        composed = composed_folder(model)
        if composed is not None:
            check_folder(composed)
        return composed
    for repo_id in (model.source, *model.also):
        folder = main_snapshot(repo_id)
        if folder is None or not _is_complete(folder):
            continue
        # The client's own check would ask for every file of the repository, pictures included.
        files = (p for p in folder.rglob("*") if p.is_file())
        if all(intact(p) for p in files if is_small(p.relative_to(folder).as_posix())):
            check_small_files(folder, repo_id)
            check_plain(folder)
            return folder
    return None


def download(model: Model, on_progress: OnProgress) -> Path:
    """Bring a model's checkpoint into the cache, from where it was left off; its folder.

    Raises:
        OutputError: when the disk has too little space, before any weights are fetched.
        CheckpointError: when the hub cannot be reached, has no such repository, or sent damage.
    """
    pipeline = model.base or model.source
    with explained(pipeline):
        listing = read_listing(pipeline)
        folder = _fetch_described(listing)
        weights = listing.weights()
        if model.base:
            weights = [p for p in weights if not p.startswith("transformer/")]
        wanted = [(listing, weights)]
    with explained(model.source):
        if model.base:
            wanted.append((_with_transformer(model), [model.transformer_file]))
        files = [hub_file(of.repo_id, p, of.commit) for of, ps in wanted for p in of.missing(ps)]
        total = sum(listing.sizes[p] for p in listing.small)
        total += sum(of.sizes[p] for of, ps in wanted for p in ps)
        check_disk_space(model.source, sum(f.size - f.present() for f in files))
        fetch_weights(files, total, on_progress)
        for of, _ in wanted:
            remove_partial_files(of.repo_id)
    if model.base:
        folder = composed_folder(model) or folder  # else its check says what is missing
    check_folder(folder)
    return folder


def _with_transformer(model: Model) -> Listing:
    """The repository that has the model's transformer as one file.

    Raises:
        CheckpointError: when the file is not there.
    """
    listing = list_files(model.source)
    if model.transformer_file not in listing.sizes:
        raise CheckpointError(
            f"{model.source} has no {model.transformer_file} on the hub now. Check its page:"
            f" https://huggingface.co/{model.source}"
        )
    point_main_at(listing.repo_id, listing.commit)
    return listing


def fetch_weights(files: list[HubFile], total: int, on_progress: OnProgress) -> None:
    """Fetch file after file, reporting the bytes of `total` that are in the cache."""
    began = time.monotonic()
    missing = {f.path: f.size - f.present() for f in files}
    start = done = total - sum(missing.values())

    def on_bytes(file: HubFile, size: int) -> None:
        nonlocal done
        missing[file.path] = file.size - size
        done = max(done, total - sum(missing.values()))
        seconds = time.monotonic() - began
        on_progress(Progress("download", done, total, seconds, note=file.repo_id, start=start))

    on_progress(Progress("download", start, total, start=start))
    for file in files:
        fetch(file, on_bytes)


def _fetch_described(listing: Listing) -> Path:
    """Bring all small files into the cache, and check them."""
    folder = _fetch_small(listing, listing.small)
    check_small_files(folder, listing.repo_id)
    return folder


def _fetch_small(listing: Listing, paths: list[str]) -> Path:
    """Bring small files into the cache, by the hub client itself."""
    from huggingface_hub import hf_hub_download

    for path in listing.missing(paths):
        damaged = (listing.folder / path).exists()
        hf_hub_download(listing.repo_id, path, revision=listing.commit, force_download=damaged)
    return listing.folder


def _is_complete(folder: Path) -> bool:
    try:
        check_complete(folder)
    except CheckpointError:
        return False
    return True
