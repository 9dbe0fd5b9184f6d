"""A checkpoint's folder: whether it is a whole CogVideoX pipeline, and which model it holds.

Only names, small JSON files and the headers of weight files are read: a folder that is half
downloaded or of another kind is refused before anything heavy happens.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from cogmagic._catalog import MODELS, Architecture, Frames, Model, Sizes, Task
from cogmagic._errors import CheckpointError, plain_line

__all__ = ["COMPONENTS", "check_folder", "fingerprint", "identify", "weight_files"]

# Every component of a CogVideoX pipeline, with the one class that may stand for it.
COMPONENTS = {
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
    config = _json(folder / "transformer" / "config.json")
    architecture = Architecture(
        in_channels=int(config.get("in_channels", 16)),
        num_layers=int(config.get("num_layers", 30)),
        num_attention_heads=int(config.get("num_attention_heads", 30)),
        patch_size_t=config.get("patch_size_t"),
        learned_positions=bool(config.get("use_learned_positional_embeddings", False)),
        rotary=bool(config.get("use_rotary_positional_embeddings", False)),
    )
    for model in MODELS:
        if model.architecture == architecture and model.max_tokens == _max_tokens(config):
            return replace(model, source=source, also=())  # alike, but other weights
    return _foreign(folder, source, config, architecture)


def _max_tokens(config: dict[str, Any]) -> int:
    return int(config.get("max_text_seq_length", 226))


def _foreign(
    folder: Path, source: str, config: dict[str, Any], architecture: Architecture
) -> Model:
    out_channels = int(config.get("out_channels", 16))
    task: Task = "i2v" if architecture.in_channels == 2 * out_channels else "t2v"
    width = int(config.get("sample_width", 90)) * 8
    height = int(config.get("sample_height", 60)) * 8
    count = int(config.get("sample_frames", 49))
    scheduler = _json(folder / "scheduler" / "scheduler_config.json").get("_class_name", "")
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
        max_tokens=_max_tokens(config),
    )


def check_folder(folder: Path) -> None:
    """Refuse a folder that is not a whole CogVideoX pipeline, naming what is missing.

    Raises:
        CheckpointError: with the files that are missing or cut short.
    """
    _pipeline_index(folder)
    for component in COMPONENTS:
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
        return [base / n for n in sorted(set(_json(index).get("weight_map", {}).values()))]
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
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        actual = path.stat().st_size
        if not 0 < size < min(actual, 100_000_000):
            raise _incomplete(folder, f"{path.parent.name}/{path.name} (not a safetensors file)")
        try:
            header = json.loads(file.read(size))
        except ValueError:
            raise _incomplete(folder, f"{path.parent.name}/{path.name} (broken header)") from None
    tensors = [v for k, v in header.items() if k != "__metadata__"]
    expected = 8 + size + max((t["data_offsets"][1] for t in tensors), default=0)
    if actual < expected:
        raise _incomplete(
            folder, f"{path.parent.name}/{path.name} ({actual:,} of {expected:,} bytes there)"
        )


def _pipeline_index(folder: Path, label: str = "") -> None:
    label = label or str(folder)
    if not (folder / "model_index.json").is_file():
        raise CheckpointError(
            f"{label} is not a diffusers pipeline: it has no model_index.json. Point --model at"
            " the folder that holds transformer/, vae/, text_encoder/, tokenizer/ and scheduler/."
        )
    index = _json(folder / "model_index.json")
    kind = index.get("_class_name")
    if not (isinstance(kind, str) and kind.startswith("CogVideoX")):
        raise CheckpointError(f"{label} holds a {kind}, not a CogVideoX pipeline.")
    for component, classes in COMPONENTS.items():
        entry = index.get(component)
        library, name = entry if isinstance(entry, list) and len(entry) == 2 else (None, None)
        if library not in {"diffusers", "transformers"} or name not in classes:
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


def _json(path: Path) -> dict[str, Any]:
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing.") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}).") from None
    if not isinstance(loaded, dict):
        raise CheckpointError(f"{path} is not a JSON object.")
    return loaded


def fingerprint(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of the files of a checkpoint."""
    files = sorted(p for p in folder.glob("*/*") if p.is_file())
    stats = [(p, p.stat()) for p in files]
    return tuple((str(p), s.st_size, s.st_mtime_ns) for p, s in stats)
