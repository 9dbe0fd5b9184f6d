"""The files of a hub repository at one commit, and those that cogmagic fetches."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from cogmagic._errors import CheckpointError, error_line
from cogmagic._models.checkpoints.makes import no_pipeline
from cogmagic._models.checkpoints.weights import only_variant, weight_files, weights_stem
from cogmagic._models.family import COMPONENT_CLASSES, WEIGHTED_COMPONENTS
from cogmagic._models.hub.cache import intact, point_main_at, repository_folder
from cogmagic._models.hub.network import setup_problem
from cogmagic._models.hub.proxies import proxy_for

__all__ = ["Listing", "is_small", "list_files", "read_listing"]


_CONFIGS = {"config.json", "scheduler_config.json", "quanto_qmap.json"}


_INDEXES = {"model.safetensors.index.json", "diffusion_pytorch_model.safetensors.index.json"}


_COMMIT = re.compile(r"[0-9a-f]{40}")
"""A commit: it becomes the name of a folder."""


_MALFORMED = (
    AttributeError, KeyError, OverflowError, RecursionError, TypeError, UnicodeError,
)  # fmt: skip
"""Errors of the client for a malformed answer, which it does not check."""


_TIMEOUT = 10.0
"""Seconds that the hub may take to answer; the client's own default is to wait for ever."""


@dataclass(frozen=True)
class Listing:
    """The files of a repository at one commit, with their sizes in bytes."""

    repo_id: str
    commit: str
    sizes: dict[str, int]

    @property
    def folder(self) -> Path:
        """The snapshot of this commit in the cache."""
        return repository_folder(self.repo_id) / "snapshots" / self.commit

    @property
    def configs(self) -> list[str]:
        """The configurations of the pipeline and its components."""
        return [p for p in self.sizes if _is_config(p)]

    @property
    def small(self) -> list[str]:
        """The configurations, the tokenizer and the indexes of the weights."""
        return [p for p in self.sizes if is_small(p)]

    @property
    def weights_size(self) -> int:
        """Bytes of the weights that a loader reads, by their names: shards where an index is."""
        total = 0
        for component in WEIGHTED_COMPONENTS:
            stem = re.escape(f"{component}/{weights_stem(component)}")
            sharded = f"{component}/{weights_stem(component)}.safetensors.index.json" in self.sizes
            name = re.compile(stem + (r"-\d+-of-\d+" if sharded else "") + r"\.safetensors")
            total += sum(size for path, size in self.sizes.items() if name.fullmatch(path))
        return total

    def missing(self, paths: list[str]) -> list[str]:
        """Those of `paths` that are not in the cache, or not as the hub has them."""
        return [p for p in paths if not intact(self.folder / p, self.sizes[p])]

    def weights(self) -> list[str]:
        """The weights that a loader reads, by the cached indexes: no second copies, no pickles.

        Raises:
            CheckpointError: when the repository lacks one.
        """
        paths = []
        for component in WEIGHTED_COMPONENTS:
            for file in weight_files(self.folder, component):
                path = file.relative_to(self.folder).as_posix()
                if path not in self.sizes:
                    raise CheckpointError(self._no_weights(component, path))
                paths.append(path)
        return paths

    def _no_weights(self, component: str, path: str) -> str:
        if any(p.startswith(f"{component}/") and p.endswith(".bin") for p in self.sizes):
            return (
                f"{self.repo_id} has its {component} only as pickled weights (.bin), which cogmagic"
                " never loads: they can run code. Use a copy saved with safe_serialization=True."
            )
        missing = f"{self.repo_id} is incomplete: {path} is missing on the hub."
        return only_variant(self.repo_id, path, self.sizes) or missing


def read_listing(repo_id: str) -> Listing:
    """Ask the hub for a model's files, as `list_files` does.

    Raises:
        CheckpointError: for a repository without a pipeline.
    """
    listing = list_files(repo_id)
    if "model_index.json" not in listing.sizes:
        raise no_pipeline(repo_id, listing.sizes)
    point_main_at(repo_id, listing.commit)
    return listing


def list_files(repo_id: str) -> Listing:
    """Ask the hub which files a repository has now, in one request.

    Raises:
        CheckpointError: for an answer that is not the hub's.
    """
    from huggingface_hub import HfApi, constants

    try:
        info = HfApi().model_info(repo_id, files_metadata=True, timeout=_TIMEOUT)
        files = info.siblings or ()
        sizes = {str(f.rfilename): _size(f.lfs.size if f.lfs else f.size) for f in files}
    except _MALFORMED as error:
        proxy = proxy_for(constants.ENDPOINT)
        raise setup_problem(repo_id, error) or CheckpointError(
            f"The hub's answer about {repo_id} cannot be read ({error_line(error)})."
            f" Check {f'the proxy {proxy} and ' if proxy else ''}HF_ENDPOINT,"
            " or give --model a folder."
        ) from None
    commit = str(info.sha)
    if not _COMMIT.fullmatch(commit):
        raise CheckpointError(
            f"The hub's answer about {repo_id} names the commit {commit!r:.60}, which is not one"
            " of 40 digits. Check HF_ENDPOINT, or give --model a folder."
        )
    return Listing(repo_id, commit, sizes)


def _size(size: object) -> int:
    """A file's size in bytes; 0 where the hub gives none."""
    return size if type(size) is int and size > 0 else 0


def is_small(path: str) -> bool:
    """Whether a file of a repository is a configuration, of the tokenizer, or an index."""
    folder, _, name = path.rpartition("/")
    if folder == "tokenizer":
        return name.endswith((".json", ".model"))
    return _is_config(path) or (folder in COMPONENT_CLASSES and name in _INDEXES)


def _is_config(path: str) -> bool:
    folder, _, name = path.rpartition("/")
    return path == "model_index.json" or (folder in COMPONENT_CLASSES and name in _CONFIGS)
