"""Weight files of a checkpoint: those that the loaders take, and the tensors in them.

Files are judged by their headers, read by safetensors' own reader, which checks a header and the
file's length against it. No weights are read and torch is not imported.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from cogmagic._errors import CheckpointError
from cogmagic._models.catalog import nearest
from cogmagic._models.checkpoints.json_files import read_json

__all__ = [
    "StoredTensor",
    "Weights",
    "bytes_per_dtype",
    "damage",
    "incomplete",
    "index_of",
    "only_variant",
    "plain_copy",
    "read_header",
    "weight_files",
    "weight_map",
    "weights_stem",
]


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of a weight file, as the file's header describes it."""

    name: str
    dtype: str
    """safetensors' name: ``BF16``, ``F8_E4M3``, ``I8`` …"""
    shape: tuple[int, ...]
    file: Path


@dataclass(frozen=True)
class Weights:
    """The weights of a component, as the headers of its files describe them."""

    tensors: Mapping[str, StoredTensor]
    metadata: Mapping[str, str]
    """The text that the files store beside their tensors."""


def weight_files(folder: Path, component: str) -> list[Path]:
    """The safetensors files of a component's weights that its loader takes, present or not.

    Raises:
        CheckpointError: for an index that names no files, and for pickled weights or GGUF.
    """
    base = folder / component
    if index := index_of(folder, component):
        return [base / name for name in sorted(set(weight_map(index).values()))]
    file = base / f"{weights_stem(component)}.safetensors"
    if not file.is_file():
        _refuse_other_formats(base)
    return [file]


def weights_stem(component: str) -> str:
    """The name of a component's weights file, without its number and suffix."""
    return "model" if component == "text_encoder" else "diffusion_pytorch_model"


def index_of(folder: Path, component: str) -> Path | None:
    """The index of shards that a component's loader takes; None where it takes a single file.

    Where both are there, transformers (the text encoder) takes the file and diffusers the index.
    """
    file = folder / component / f"{weights_stem(component)}.safetensors"
    index = file.with_name(f"{file.name}.index.json")
    ignored = component == "text_encoder" and file.is_file()
    return index if index.is_file() and not ignored else None


def weight_map(index: Path) -> dict[str, str]:
    """The file of each tensor, according to an index of shards."""
    files = read_json(index).get("weight_map", {})
    names = list(files.values()) if isinstance(files, dict) else [None]
    if not names or not all(_is_file_name(n) for n in names):
        raise CheckpointError(f"{index} names no safetensors files. Download or copy it again.")
    return dict(files)


def _is_file_name(name: object) -> bool:
    """Whether this is the name of a safetensors file in the index's own folder."""
    return isinstance(name, str) and Path(name).name == name and name.endswith(".safetensors")


def _refuse_other_formats(base: Path) -> None:
    suffixes = {p.suffix.lower() for p in base.glob("*.*")}
    if ".gguf" in suffixes:
        raise CheckpointError(
            f"{base} has only GGUF weights, which diffusers cannot load into CogVideoX."
            f" {plain_copy(base.parent)}"
        )
    if pickled := sorted(suffixes & {".bin", ".ckpt", ".pt", ".pth"}):
        raise CheckpointError(
            f"{base} has only pickled weights ({pickled[0]}), which cogmagic never loads: they can"
            " run code. Convert them with save_pretrained(..., safe_serialization=True)."
        )


def damage(file: Path) -> str:
    """Why a safetensors file cannot be loaded; empty if its header and length agree.

    Raises:
        OSError: when it cannot be opened.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy"):
            return ""
    except SafetensorError as error:
        return str(error).removeprefix("Error while deserializing header: ")


def incomplete(folder: Path, reason: str) -> CheckpointError:
    """The error for a checkpoint that lacks something."""
    return CheckpointError(f"{folder} is incomplete: {reason}. Download or copy it again.")


def plain_copy(folder: Path) -> str:
    """What to use instead of a checkpoint whose form of storage cogmagic does not load."""
    return (
        "Use a copy in bfloat16, float16 or float32, such as --model"
        f" {nearest(str(folder)).name}; --fp8 stores its transformer in 8 bits."
    )


def only_variant(label: str, missing: str, paths: Iterable[str]) -> str:
    """The error for weights that exist only as a variant, saved with ``variant="fp16"``.

    Args:
        label: the folder or hub id.
        missing: the path of the weights that the loader takes, as ``vae/….safetensors``.
        paths: those that exist; the result is empty if none is a variant of the same component.
    """
    stem = re.escape(re.sub(r"(-\d+-of-\d+)?\.safetensors$", "", missing))
    variant = re.compile(rf"{stem}\.[a-z]\w*(-\d+-of-\d+)?\.safetensors")
    present = min(filter(variant.fullmatch, paths), default="")
    return present and (
        f"{label} has {present} in place of {missing}, but cogmagic does not load variants. Load"
        " the pipeline with variant=, save it with save_pretrained without one, and give that"
        " folder."
    )


def read_header(file: Path) -> Weights:
    """The header of an intact file."""
    from safetensors import safe_open

    tensors = {}
    with safe_open(file, framework="numpy") as weights:
        for name in weights.keys():  # noqa: SIM118 - the reader is not a mapping
            tensor = weights.get_slice(name)
            tensors[name] = StoredTensor(name, tensor.get_dtype(), tuple(tensor.get_shape()), file)
        return Weights(tensors, dict(weights.metadata() or {}))


def bytes_per_dtype(tensors: Mapping[str, StoredTensor]) -> Counter[str]:
    """Bytes of the tensors, by safetensors' name of the dtype."""
    nbytes: Counter[str] = Counter()
    for tensor in tensors.values():
        bits = re.search(r"\d+", tensor.dtype)
        nbytes[tensor.dtype] += prod(tensor.shape) * int(bits[0] if bits else 8) // 8
    return nbytes
