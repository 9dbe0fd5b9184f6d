"""A checkpoint's folder: whether it is a whole CogVideoX pipeline, and which model it holds.

Only names, small JSON files and the headers of weight files are read: a folder that is half
downloaded or of another kind is refused before anything heavy happens.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from cogmagic._errors import CheckpointError, plain_line
from cogmagic._models.catalog import MODELS, Architecture, Dtype, Frames, Model, Sizes, Stored, Task

__all__ = [
    "COMPONENT_CLASSES",
    "check_folder",
    "fingerprint",
    "identify",
    "read_json",
    "weight_files",
]


# Every component of a CogVideoX pipeline, with the one class that may stand for it.
COMPONENT_CLASSES = {
    "text_encoder": {"T5EncoderModel"},
    "tokenizer": {"T5Tokenizer", "T5TokenizerFast"},
    "transformer": {"CogVideoXTransformer3DModel"},
    "vae": {"AutoencoderKLCogVideoX"},
    "scheduler": {"CogVideoXDDIMScheduler", "CogVideoXDPMScheduler"},
}


_WEIGHTS = ("text_encoder", "transformer", "vae")


def identify(folder: Path, source: str, *, whole: bool = True) -> Model:
    """The model that a folder's configurations describe.

    An architecture of the catalogue takes the catalogue's rules; any other takes the native size
    and frame count of its own configuration.
    """
    if whole:
        check_folder(folder)
    else:
        _pipeline_index(folder, source)
    config = _Config(folder / "transformer" / "config.json")
    tokens = config.number("max_text_seq_length", 226, 4096)
    architecture = Architecture(
        in_channels=config.number("in_channels", 16, 512),
        num_layers=config.number("num_layers", 30, 256),
        num_attention_heads=config.number("num_attention_heads", 30, 256),
        patch_size_t=config.number("patch_size_t", 1, 8) if config.get("patch_size_t") else None,
        learned_positions=bool(config.get("use_learned_positional_embeddings", False)),
        rotary=bool(config.get("use_rotary_positional_embeddings", False)),
    )
    alike = (m for m in MODELS if (m.architecture, m.max_tokens) == (architecture, tokens))
    model = next(alike, None) or _foreign(folder, source, config, architecture)
    stored = _stored(folder) if whole else model.stored
    return replace(model, source=source, also=(), stored=stored)  # alike, but other weights


class _Config(dict[str, Any]):
    """A ``config.json``, whose numbers are looked at before they are believed."""

    def __init__(self, path: Path) -> None:
        super().__init__(read_json(path))
        self._path = path

    def number(self, name: str, default: int, most: int) -> int:
        """The whole number of that name, 1 to `most`."""
        found = self.get(name, default)
        if type(found) is not int or not 1 <= found <= most:
            raise CheckpointError(
                f"{self._path} says {name} {found!r:.40}, but a CogVideoX has 1 to {most:,}."
                " Download or copy it again."
            )
        return found


def _foreign(folder: Path, source: str, config: _Config, architecture: Architecture) -> Model:
    out_channels = config.number("out_channels", 16, 512)
    task: Task = "i2v" if architecture.in_channels == 2 * out_channels else "t2v"
    width = config.number("sample_width", 90, 512) * 8
    height = config.number("sample_height", 60, 512) * 8
    count = config.number("sample_frames", 49, 1024)
    scheduler = read_json(folder / "scheduler" / "scheduler_config.json").get("_class_name", "")
    step = 16 if architecture.patch_size_t else 8
    return Model(
        name=plain_line(folder.name if Path(source).is_absolute() else source.rpartition("/")[2]),
        source=source,
        task=task,
        width=width,
        height=height,
        sizes=Sizes(
            (16, max(768, height)), (16, max(1360, width)), exact=architecture.learned_positions
        ),
        frames=Frames(default=count, step=step, least=step + 1, most=max(count, step + 1)),
        fps=16 if architecture.patch_size_t else 8,
        dtype="bfloat16",
        scheduler="dpm" if scheduler == "CogVideoXDPMScheduler" else "ddim",
        dynamic_guidance=False,
        architecture=architecture,
        max_tokens=config.number("max_text_seq_length", 226, 4096),
    )


def check_folder(folder: Path) -> None:
    """Refuse a folder that is not a whole CogVideoX pipeline, naming what is missing.

    Raises:
        CheckpointError: with the files that are missing or cut short.
    """
    _pipeline_index(folder)
    for component in COMPONENT_CLASSES:
        name = "scheduler_config.json" if component == "scheduler" else "config.json"
        if component != "tokenizer" and not (folder / component / name).is_file():
            raise _incomplete(folder, f"{component}/{name}")
    if not any((folder / "tokenizer" / n).is_file() for n in ("tokenizer.json", "spiece.model")):
        raise _incomplete(folder, "tokenizer/spiece.model")
    for component in _WEIGHTS:
        for path in weight_files(folder, component):
            if not path.is_file():
                raise _incomplete(folder, f"{component}/{path.name}")
            _check_length(folder, path)


def weight_files(folder: Path, component: str) -> list[Path]:
    """The safetensors files that hold a component's weights, present or not."""
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
    return [
        base
        / (
            "model.safetensors"
            if component == "text_encoder"
            else "diffusion_pytorch_model.safetensors"
        )
    ]


def _check_length(folder: Path, path: Path) -> None:
    """A safetensors file says in its header how long it must be."""
    tensors, begin = _header(folder, path)
    actual = path.stat().st_size
    expected = begin + max((t["data_offsets"][1] for t in tensors), default=0)
    if actual < expected:
        raise _incomplete(
            folder, f"{path.parent.name}/{path.name} ({actual:,} of {expected:,} bytes there)"
        )


def _header(folder: Path, path: Path) -> tuple[list[dict[str, Any]], int]:
    """What a safetensors file says of each tensor, and where their bytes begin."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if not 0 < size < min(path.stat().st_size, 100_000_000):
            raise _incomplete(folder, f"{path.parent.name}/{path.name} (not a safetensors file)")
        try:
            header = json.loads(file.read(size))
            tensors = [v for k, v in header.items() if k != "__metadata__"]
            for tensor in tensors:
                begin, end = tensor["data_offsets"]
                if not 0 <= begin <= end or not isinstance(tensor["dtype"], str):
                    raise ValueError
        except (ValueError, AttributeError, TypeError, KeyError, RecursionError):
            raise _incomplete(folder, f"{path.parent.name}/{path.name} (broken header)") from None
    return tensors, 8 + size


_DTYPES: dict[str, Dtype] = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def _stored(folder: Path) -> Stored:
    """The precision of most of the bytes of each component, if it is one that can be loaded."""
    found: dict[str, Dtype | None] = {}
    for component in _WEIGHTS:
        nbytes: Counter[str] = Counter()
        for path in weight_files(folder, component):
            for tensor in _header(folder, path)[0]:
                begin, end = tensor["data_offsets"]
                nbytes[tensor["dtype"]] += end - begin
        most = max(nbytes, key=nbytes.__getitem__, default="")
        found[component] = _DTYPES.get(most)
    return Stored(**found)


def _pipeline_index(folder: Path, label: str = "") -> None:
    label = label or str(folder)
    if not (folder / "model_index.json").is_file():
        raise CheckpointError(
            f"{label} is not a diffusers pipeline: it has no model_index.json. Point --model at"
            " the folder that holds transformer/, vae/, text_encoder/, tokenizer/ and scheduler/."
        )
    index = read_json(folder / "model_index.json")
    kind = index.get("_class_name")
    if not (isinstance(kind, str) and kind.startswith("CogVideoX")):
        raise CheckpointError(f"{label} holds a {kind}, not a CogVideoX pipeline.")
    for component, classes in COMPONENT_CLASSES.items():
        entry = index.get(component)
        library, name = entry if isinstance(entry, list) and len(entry) == 2 else (None, None)
        known = isinstance(library, str) and isinstance(name, str)
        if not known or library not in {"diffusers", "transformers"} or name not in classes:
            raise CheckpointError(
                f"{label}: its {component} is {name or 'missing'}, where a CogVideoX pipeline has"
                f" {' or '.join(sorted(classes))}."
            )


def _incomplete(folder: Path, what: str) -> CheckpointError:
    return CheckpointError(
        f"{folder} is incomplete: {what} is missing. Download or copy it again."
        if "(" not in what
        else f"{folder} is incomplete: {what}. Download or copy it again."
    )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        CheckpointError: when it is missing or none.
    """
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}).") from None
    if not isinstance(loaded, dict):
        raise CheckpointError(f"{path} is not a JSON object.")
    return loaded


def fingerprint(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of the files of a checkpoint."""
    files = sorted(p for p in folder.glob("*/*") if p.is_file())
    stats = [(p, p.stat()) for p in files]
    return tuple((str(p), s.st_size, s.st_mtime_ns) for p, s in stats)
