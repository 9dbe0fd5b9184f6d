"""Weight files of a checkpoint: their names, and whether they are intact.

Files are judged by safetensors' own reader, which checks a header and the file's length against
it. No weights are read and torch is not imported.
"""

from __future__ import annotations

import re
from collections import Counter
from math import prod
from pathlib import Path

from cogmagic._errors import CheckpointError
from cogmagic._models.json_files import read_json

__all__ = ["bytes_per_dtype", "damage", "weight_files", "weights_stem"]


def weight_files(folder: Path, component: str) -> list[Path]:
    """The safetensors files of a component's weights, present or not.

    Raises:
        CheckpointError: for an index that names no files, and for pickled weights.
    """
    base = folder / component
    for index in sorted(base.glob("*.safetensors.index.json")):
        files = read_json(index).get("weight_map", {})
        names = list(files.values()) if isinstance(files, dict) else [None]
        if not all(isinstance(n, str) and Path(n).name == n for n in names):
            raise CheckpointError(f"{index} names no files of weights. Download or copy it again.")
        return [base / n for n in sorted({str(n) for n in names})]
    for name in ("model.safetensors", "diffusion_pytorch_model.safetensors"):
        if (base / name).is_file():
            return [base / name]
    if any(base.glob("*.bin")):
        raise CheckpointError(
            f"{base} has only pickled weights (.bin), which cogmagic never loads: they can run"
            " code. Convert them with save_pretrained(..., safe_serialization=True)."
        )
    return [base / f"{weights_stem(component)}.safetensors"]


def weights_stem(component: str) -> str:
    """The name of a component's weights file, without its number and suffix."""
    return "model" if component == "text_encoder" else "diffusion_pytorch_model"


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


def bytes_per_dtype(files: list[Path]) -> Counter[str]:
    """Bytes of all tensors of some safetensors files, by safetensors' name of the dtype."""
    from safetensors import safe_open

    nbytes: Counter[str] = Counter()
    for file in files:
        with safe_open(file, framework="numpy") as weights:
            for name in weights.keys():  # noqa: SIM118 - the reader is no mapping
                tensor = weights.get_slice(name)
                bits = re.search(r"\d+", dtype := tensor.get_dtype())
                nbytes[dtype] += prod(tensor.get_shape()) * int(bits[0] if bits else 8) // 8
    return nbytes
