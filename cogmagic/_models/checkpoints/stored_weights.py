"""Weights of a checkpoint's component, by the headers of its files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from cogmagic._errors import CheckpointError
from cogmagic._models.checkpoints.json_files import read_json
from cogmagic._models.checkpoints.weights import (
    StoredTensor,
    Weights,
    damage,
    incomplete,
    index_of,
    only_variant,
    plain_copy,
    read_header,
    weight_files,
    weight_map,
)

__all__ = ["stored_weights"]


def stored_weights(folder: Path, component: str) -> Weights:
    """The weights of a component, by the headers of the files that its loader takes.

    They are read again only when a file of the component has changed.

    Raises:
        CheckpointError: for a file that is missing or damaged, for two that hold a tensor of the
            same name, and for an index that names a tensor which no file holds.
    """
    try:
        facts = [(file, file.stat()) for file in sorted((folder / component).iterdir())]
    except OSError:  # which reading them reports
        return _read_weights.__wrapped__(folder, component, ())
    stamps = tuple((f.name, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for f, s in facts)
    return _read_weights(folder, component, stamps)


@lru_cache(maxsize=8)
def _read_weights(folder: Path, component: str, _stamps: tuple[object, ...]) -> Weights:
    tensors: dict[str, StoredTensor] = {}
    metadata: dict[str, str] = {}
    for file in weight_files(folder, component):
        header = _header(folder, file)
        if twice := sorted(tensors.keys() & header.tensors.keys()):
            raise CheckpointError(
                f"{tensors[twice[0]].file} and {file.name} both hold {twice[0]:.120}. Download or"
                " copy the folder again."
            )
        tensors |= header.tensors
        metadata |= header.metadata
    if index := index_of(folder, component):
        _check_index(index, tensors)
    return Weights(tensors, metadata)


def _header(folder: Path, file: Path) -> Weights:
    """The header of one file of a checkpoint."""
    name = f"{file.parent.name}/{file.name}"
    try:
        if not file.is_file():
            raise _missing(folder, file)
        with file.open("rb") as stream:
            is_gguf = stream.read(4) == b"GGUF"
        reason, nbytes = damage(file), file.stat().st_size
    except OSError as error:
        raise CheckpointError(
            f"{file} cannot be read ({error}). Check its permissions, or copy it again."
        ) from None
    if is_gguf:
        raise CheckpointError(
            f"{file} is a GGUF file, which diffusers cannot load into CogVideoX."
            f" {plain_copy(folder)}"
        )
    if reason:
        raise incomplete(folder, f"{name} is cut short or damaged ({nbytes:,} bytes: {reason})")
    return read_header(file)


def _missing(folder: Path, file: Path) -> CheckpointError:
    """The error for a file of weights that a checkpoint lacks."""
    others = sorted(p.name for p in file.parent.glob("*.safetensors"))
    component, name = file.parent.name, f"{file.parent.name}/{file.name}"
    if reason := only_variant(str(folder), name, [f"{component}/{n}" for n in others]):
        return CheckpointError(reason)
    instead = f" (the folder has {others[0]} instead)" if others else ""
    return incomplete(folder, f"{name} is missing{instead}")


def _check_index(index: Path, tensors: Mapping[str, StoredTensor]) -> None:
    """Refuse an index that does not describe its files, or lacks what the loaders read."""
    if absent := sorted(weight_map(index).keys() - tensors.keys()):
        raise CheckpointError(
            f"{index} names tensors that none of its files holds ({len(absent):,}, such as"
            f" {absent[0]:.120}). Download or copy the folder again."
        )
    if not isinstance(read_json(index).get("metadata"), dict):
        raise CheckpointError(
            f'{index} lacks its "metadata", without which it cannot be loaded. Download or copy it'
            " again."
        )
