"""LoRA files of the hub: chosen by the listing, read by their headers, fetched into its cache."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cogmagic._errors import CheckpointError, did_you_mean
from cogmagic._models.adapters.hub_header import hub_header
from cogmagic._models.adapters.local import CONFIG, check_not_pickled, choose, local_file
from cogmagic._models.checkpoints.weights import Weights
from cogmagic._models.hub.cache import (
    intact,
    main_folder,
    point_main_at,
    remove_partial_files,
)
from cogmagic._models.hub.disk import check_disk_space
from cogmagic._models.hub.download import fetch_weights
from cogmagic._models.hub.errors import explained
from cogmagic._models.hub.listing import Listing, list_files
from cogmagic._models.hub.transfer import hub_file
from cogmagic._progress import OnProgress

__all__ = ["HubLora", "fetch_lora", "find_lora", "hub_place"]


_PLACE = re.compile(r"([\w.-]+/[\w.-]+?)(?:/+(.*))?")


_CARD = "README.md"


_SUFFIX = ".safetensors"


_MOST_BYTES = 4 * 2**20
"""The largest card or configuration that is fetched before a plan."""


@dataclass(frozen=True)
class HubLora:
    """A LoRA file of the hub, in the cache or not."""

    repo_id: str
    path: str
    """Its path in the repository."""
    folder: Path
    """The repository's snapshot in the cache."""
    licence: str
    weights: Weights | None = None
    """The header, read from the hub; None where the cache has the file."""
    download: int = 0
    """Bytes to download."""

    @property
    def name(self) -> str:
        """Repository and path."""
        return f"{self.repo_id}/{self.path}"

    @property
    def file(self) -> Path:
        """Where the file is in the cache, or will be."""
        return self.folder / self.path


def hub_place(source: str) -> tuple[str, str] | None:
    """The repository and the path in it that a source names; None for a local path."""
    match = _PLACE.fullmatch(source)
    if match is None or source.startswith((".", "~")):
        return None
    path = match[2] or ""
    parts = PurePosixPath(path).parts
    with suppress(OSError, ValueError):
        if ".." in parts or (parts and Path(source).parent.is_dir()):
            return None
    return (match[1], path) if parts or not source.endswith(".safetensors") else None


def find_lora(repo_id: str, path: str) -> HubLora:
    """The LoRA at a path of a repository, a file or a folder; '' for the only one that it has.

    A file that is in the cache is used as it is. Otherwise the hub is asked; where it cannot be
    reached, the LoRA that an earlier run fetched is used.

    Raises:
        CheckpointError: where there is no LoRA, or several, or its header is not one.
    """
    folder = main_folder(repo_id)
    if folder is not None and path.endswith(_SUFFIX) and intact(folder / path):
        return _cached(repo_id, folder, path)
    try:
        with _explained(repo_id):
            listing = list_files(repo_id)
    except CheckpointError:
        file = local_file(str(folder / path)) if folder else None
        if folder is None or file is None or not intact(file):
            raise
        return _cached(repo_id, folder, file.relative_to(folder).as_posix())
    path = _chosen(listing, path)
    check_not_pickled(path, f"{repo_id}/{path}")
    if not path.endswith(_SUFFIX):
        raise CheckpointError(f"{repo_id}/{path} is not a .safetensors file. Name one that is.")
    with _explained(repo_id):
        return _listed(listing, path)


def fetch_lora(repo_id: str, path: str, on_progress: OnProgress) -> Path:
    """Bring a LoRA file into the cache, from where it was left off.

    Raises:
        OutputError: when the disk has too little space.
        CheckpointError: when the hub cannot be reached, no longer has the file, or sent damage.
    """
    with _explained(repo_id):
        listing = list_files(repo_id)
        if path not in listing.sizes:
            raise _no_file(listing, path)
        point_main_at(repo_id, listing.commit)
        file = hub_file(repo_id, path, listing.commit)
        check_disk_space(repo_id, file.size - file.present())
        fetch_weights([file], file.size, on_progress)
        _fetch_small(listing, _config_of(path))
        remove_partial_files(repo_id)
    return listing.folder / path


def _chosen(listing: Listing, path: str) -> str:
    """The path of the LoRA in a repository."""
    names = [name for name in listing.sizes if ".." not in PurePosixPath(name).parts]
    label = f"{listing.repo_id}/{path}".rstrip("/")
    if path in names:
        return path
    if f"{path}.safetensors" in names:
        return f"{path}.safetensors"
    below = f"{path.rstrip('/')}/" if path else ""
    inside = [name.removeprefix(below) for name in names if name.startswith(below)]
    if path and not inside:
        raise _no_file(listing, path)
    return below + choose(label, inside)


def _no_file(listing: Listing, path: str) -> CheckpointError:
    files = sorted(name for name in listing.sizes if name.endswith(".safetensors"))
    shown = ", ".join(files[:10]) + ", …" * (len(files) > 10)
    near = did_you_mean(path, files)
    return CheckpointError(
        f"{listing.repo_id} on the hub has no file {path:.120}.{near} Its .safetensors files:"
        f" {shown or 'none'}. Name one of them, or another repository."
    )


def _cached(repo_id: str, folder: Path, path: str) -> HubLora:
    """A LoRA whose file is in the cache; the hub is asked for a configuration that may be missing.

    Another program may have fetched the file alone. That the hub has no configuration is stored in
    the cache, too.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError

    config = _config_of(path)
    if try_to_load_from_cache(repo_id, config, revision=folder.name) is None:
        with suppress(CheckpointError), _explained(repo_id), suppress(EntryNotFoundError):
            hf_hub_download(repo_id, config, revision=folder.name)
    return HubLora(repo_id, path, folder, _licence(folder / _CARD))


def _listed(listing: Listing, path: str) -> HubLora:
    """A LoRA of the hub; its card and configuration are fetched, and its header is read."""
    point_main_at(listing.repo_id, listing.commit)
    for name in (_CARD, _config_of(path)):
        _fetch_small(listing, name)
    if not listing.missing([path]):
        return _cached(listing.repo_id, listing.folder, path)
    return HubLora(
        listing.repo_id,
        path,
        listing.folder,
        _licence(listing.folder / _CARD),
        hub_header(listing, path),
        listing.sizes[path],
    )


def _config_of(path: str) -> str:
    """The path of PEFT's configuration beside a file."""
    return PurePosixPath(path).with_name(CONFIG).as_posix()


def _fetch_small(listing: Listing, name: str) -> None:
    from huggingface_hub import hf_hub_download

    if listing.sizes.get(name, _MOST_BYTES) < _MOST_BYTES and listing.missing([name]):
        hf_hub_download(listing.repo_id, name, revision=listing.commit)


def _licence(card: Path) -> str:
    """The licence that a repository's card names; '' without one."""
    from huggingface_hub import metadata_load

    try:
        data = metadata_load(card) or {}
    except Exception:
        return ""
    licence = data.get("license")
    if licence == "other":
        licence = data.get("license_name") or licence
    return licence[:80] if isinstance(licence, str) else ""


@contextmanager
def _explained(repo_id: str) -> Iterator[None]:
    """The hub client's errors as one line each, with what to type for a LoRA."""
    try:
        with explained(repo_id):
            yield
    except CheckpointError as error:
        text = str(error).replace("give --model a folder", "give --lora a file")
        text = text.replace("Or give --model a folder", "Or give --lora a file")
        text = text.replace(f"no model {repo_id}, and no folder", f"no {repo_id}, and no file")
        raise CheckpointError(text) from None
