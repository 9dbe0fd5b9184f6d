"""What the rows of a batch need beside the checkpoint, sent to other hosts: inputs and LoRAs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import file_digest
from pathlib import Path
from typing import Any

from cogmagic._errors import CheckpointError, first_line
from cogmagic._models.adapters.adapter import Adapter
from cogmagic._models.adapters.local import file_stamp
from cogmagic._models.batch_row import Row
from cogmagic._models.clips.clip import Clip
from cogmagic._models.inputs import INPUTS
from cogmagic._models.masks.mask import Mask

__all__ = ["SentFile", "local_files", "lora_files", "portable", "with_files", "without_inputs"]


@dataclass(frozen=True)
class SentFile:
    """A LoRA's file, as the kernel's host has it."""

    digest: str
    """SHA-256."""
    content: Any
    """Ray's reference to its bytes; None where every actor is on the kernel's host."""


def portable(row: Row, *, same_host: bool = False) -> Row:
    """A row with its inputs in memory, whose files are read now.

    Args:
        row: with the kernel's files.
        same_host: whether clips stay in their files, which the actors can read.

    Raises:
        RequestError: for a file that can no longer be read.
    """

    def sent(name: str, given: Any) -> Any:
        value = INPUTS[name].convert(given)
        clip = isinstance(value, Clip | Mask) and not same_host
        return value.in_memory() if clip else value

    inputs = {name: replace(one, value=sent(name, one.value)) for name, one in row.inputs.items()}
    return replace(row, inputs=inputs)


def without_inputs(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows as their texts and sizes are checked: the pictures of all would not fit in RAM."""
    return tuple(replace(row, inputs={}) for row in rows)


def lora_files(rows: Sequence[Row], send: Callable[[bytes], Any] | None) -> dict[Path, SentFile]:
    """The files of all adapters of a batch on this host.

    Args:
        rows: the batch.
        send: returns Ray's reference to a file's bytes; None if actors read the same files.

    Raises:
        CheckpointError: for a file that can no longer be read.
    """
    files = {a.file for row in rows for a in row.request.loras if a.file is not None}
    sent = {}
    for file in files:
        try:
            content = send(file.read_bytes()) if send else None
            sent[file] = SentFile(_digest(file), content)
        except OSError as error:
            raise CheckpointError(f"{file} cannot be read ({first_line(error)}).") from None
    return sent


def local_files(
    files: Mapping[Path, SentFile], folder: Path, fetch: Callable[[Any], bytes]
) -> dict[Path, Path]:
    """Where this host has each file of the kernel's host.

    Args:
        files: those of the kernel's host.
        folder: receives those that this host lacks.
        fetch: returns the bytes of a reference.
    """
    here = {}
    for file, sent in files.items():
        here[file] = file
        if sent.content is not None and not _is_same(file, sent.digest):
            here[file] = copy = folder / sent.digest / file.name
            if not _is_same(copy, sent.digest):
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(fetch(sent.content))
    return here


def with_files(row: Row, files: Mapping[Path, Path]) -> Row:
    """A row with the files of its adapters on this host.

    Args:
        row: with those of the kernel's host.
        files: where this host has them (`local_files`).
    """

    def local(adapter: Adapter) -> Adapter:
        if adapter.file is None or adapter.file not in files:
            return adapter  # downloaded here
        file = files[adapter.file]
        return replace(adapter, file=file, stamp=file_stamp(file))

    if not row.request.loras:
        return row
    return replace(row, request=replace(row.request, loras=tuple(map(local, row.request.loras))))


def _is_same(file: Path, digest: str) -> bool:
    try:
        return _digest(file) == digest
    except OSError:
        return False


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()
