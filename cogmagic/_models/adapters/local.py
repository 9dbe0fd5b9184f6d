"""LoRA files on this machine: which one a path names, and whether it can be read."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable
from pathlib import Path

from cogmagic._errors import CheckpointError, did_you_mean, first_line
from cogmagic._files import typed_path
from cogmagic._models.adapters.formats import parse_key
from cogmagic._models.checkpoints.weights import Weights, damage, read_header
from cogmagic._models.other_tools import lora_option

__all__ = [
    "CONFIG",
    "CONVENTIONAL",
    "check_not_pickled",
    "choose",
    "file_stamp",
    "is_lora",
    "local_file",
    "missing",
    "read_file",
    "scalars",
]


CONFIG = "adapter_config.json"
"""PEFT's configuration, beside its weights."""


CONVENTIONAL = ("pytorch_lora_weights.safetensors", "adapter_model.safetensors")
"""The names that diffusers and PEFT give to a LoRA's file."""


_PICKLED = (".bin", ".ckpt", ".pt", ".pth", ".pkl")


_FORMATS = {
    "F64": "<d", "F32": "<f", "F16": "<e", "BF16": "<f",
    "I64": "<q", "I32": "<i", "I16": "<h", "I8": "<b", "U8": "<B",
}  # fmt: skip
"""How one number of a dtype is unpacked; BF16 is the upper half of an F32."""


def local_file(source: str) -> Path | None:
    """The LoRA file at a path, or None where nothing is.

    A folder stands for the LoRA in it, and a path without its suffix for the file with it.

    Raises:
        CheckpointError: for a folder with no LoRA or several, and for what is not a file.
    """
    try:
        path = typed_path(source)
        if path.is_dir():
            return path / choose(source, [p.name for p in path.iterdir() if not p.is_dir()])
        if not path.exists():
            path = path.with_name(f"{path.name}.safetensors") if path.name else path
            return path if path.is_file() else None
        if not path.is_file():
            raise CheckpointError(f"{source} is not a file. Give a .safetensors file.")
    except (OSError, RuntimeError, ValueError) as error:  # too long, ~nobody, a NUL, no permission
        raise CheckpointError(
            f"--lora {source[:100]!r} cannot be read ({first_line(error)}). Check the path."
        ) from None
    return path


def file_stamp(file: Path) -> tuple[int, int] | None:
    """Size and time of a file, by which a change shows; None where it cannot be looked up."""
    try:
        facts = file.stat()
    except OSError:
        return None
    return facts.st_size, facts.st_mtime_ns


def choose(label: str, names: Iterable[str]) -> str:
    """The LoRA among the files of a folder or repository: the only one, or the conventional one.

    Raises:
        CheckpointError: where there is none, or several.
    """
    names = sorted(names)
    files = [name for name in names if name.lower().endswith(".safetensors")]
    top = [name for name in files if "/" not in name] or files
    usual = [name for name in top if name.rpartition("/")[2] in CONVENTIONAL]
    if len(usual) == 1:
        return usual[0]
    if "model_index.json" in names:
        raise CheckpointError(f"{label} is a whole model, not a LoRA. Give it with --model.")
    if len(top) == 1:
        return top[0]
    if files:
        shown = ", ".join(files[:10]) + ", …" * (len(files) > 10)
        one = lora_option(f"{label.rstrip('/')}/{files[0]}")
        raise CheckpointError(
            f"{label} has {len(files)} .safetensors files: {shown}. Name one, such as {one}."
        )
    if pickled := [name for name in names if name.lower().endswith(_PICKLED)]:
        raise CheckpointError(_pickle(f"{label} ({pickled[0]})"))
    raise CheckpointError(f"{label} has no .safetensors file. Name the folder or file of a LoRA.")


def missing(source: str) -> CheckpointError:
    """The error for a path at which nothing is."""
    path = Path(source).expanduser()
    try:
        others = [p.stem for p in path.parent.glob("*.safetensors")]
    except (OSError, ValueError):
        others = []
    near = did_you_mean(path.name.removesuffix(".safetensors"), others)
    return CheckpointError(
        f"No LoRA at {source}.{near} Give a .safetensors file, its folder, or a hub repository"
        " (owner/name or owner/name/file.safetensors)."
    )


def read_file(file: Path, label: str) -> Weights:
    """The header of a LoRA file.

    Raises:
        CheckpointError: for a file of another kind, or one that is damaged.
    """
    check_not_pickled(file.name, label)
    try:
        reason, nbytes = damage(file), file.stat().st_size
        if not reason:
            return read_header(file)
        with file.open("rb") as stream:
            start = stream.read(64)
    except OSError as error:
        raise CheckpointError(
            f"{label} cannot be read ({first_line(error)}). Check its permissions, or copy it"
            " again."
        ) from None
    raise CheckpointError(
        _other_format(label, start)
        or f"{label} is cut short or damaged ({nbytes:,} bytes: {reason}). Download or copy it"
        " again."
    )


def _other_format(label: str, start: bytes) -> str:
    """The error for a file that is not safetensors, by its first bytes; '' if it may be."""
    if not start:
        return f"{label} is empty (0 bytes). Download or copy it again."
    if start.startswith(b"version https://git-lfs"):
        return f"{label} is a Git LFS pointer, not the file itself. Run git lfs pull in its folder."
    if start.startswith((b"PK\x03\x04", b"\x80")):
        return _pickle(label)
    if start.startswith(b"GGUF"):
        return f"{label} is a GGUF file, which cogmagic does not read. Use a .safetensors file."
    if start.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return f"{label} is a web page. Download the file itself (resolve, not blob, in its URL)."
    return ""


def is_lora(file: Path) -> bool:
    """Whether a file has factors of a LoRA of CogVideoX."""
    try:
        names = () if damage(file) else read_header(file).tensors
    except OSError:
        return False
    keys = [key for name in names if (key := parse_key(name))]
    return any(key.module and key.role != "alpha" for key in keys)


def check_not_pickled(name: str, label: str) -> None:
    """Refuse a file whose name is that of a pickle.

    Raises:
        CheckpointError: for one.
    """
    if name.lower().endswith(_PICKLED):
        raise CheckpointError(_pickle(label))


def _pickle(label: str) -> str:
    return (
        f"{label} is pickled, which cogmagic never loads: it can run code. Use a .safetensors file"
        " (safetensors.torch.save_file writes one)."
    )


def scalars(file: Path, names: Iterable[str]) -> dict[str, float]:
    """Numbers that a safetensors file with a sound header stores as tensors of one element.

    Raises:
        CheckpointError: for a tensor of more elements, or of a dtype that is not a number's.
    """
    numbers: dict[str, float] = {}
    if not (names := list(names)):
        return numbers
    with file.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(size))
        for name in names:
            entry = header[name]
            begin, end = entry["data_offsets"]
            if math.prod(entry["shape"]) != 1 or entry["dtype"] not in _FORMATS:
                raise CheckpointError(
                    f"{file.name}: {name:.120} is not one number, but {entry['dtype']}"
                    f" {entry['shape']!s:.60}. Download or save it again."
                )
            stream.seek(8 + size + begin)
            data = stream.read(end - begin)
            upper = b"\0\0" if entry["dtype"] == "BF16" else b""
            (numbers[name],) = struct.unpack(_FORMATS[entry["dtype"]], upper + data)
    return numbers
