"""Checkpoints of other makes: what a folder that cogmagic does not run seems to be.

Sources of class names, channels and files: alibaba-pai's CogVideoX-Fun (VideoX-Fun), Netflix's
VOID, TheDenk's ControlNets, ConsisID, zai-org's SAT files, finetrainers and diffusers' scripts.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from cogmagic._errors import CheckpointError
from cogmagic._models.catalog import MODELS, nearest
from cogmagic._models.checkpoints.json_files import read_json
from cogmagic._models.family import (
    COMPONENT_CLASSES,
    INPAINTING,
    PIPELINES,
    Configs,
    config_file,
    task_of,
)
from cogmagic._models.model import Model

__all__ = ["check_channels", "check_make", "no_pipeline", "other_pipeline"]


_BY_CLASS = (
    (r"CogVideoX_?Fun.*Control", "CogVideoX-Fun Control", "t2v"),
    (r"CogVideoX_?Fun", "CogVideoX-Fun", "t2v"),
    (r"(?i).*control_?net", "a ControlNet", None),
    (r"(?i).*void", "VOID (object removal)", "void"),
    (r"(?i).*inpaint", "an inpainting model", "inp"),
    (r"(?i).*track", "Diffusion as Shader (tracking)", "i2v"),
    (r"(?i)tora", "Tora (trajectories)", None),
    (r"ConsisID", "ConsisID (faces)", "i2v"),
    (r"CogView", "CogView (pictures)", None),
)
"""Class names of pipelines and components: pattern, what it is, and the task that is nearest."""


_BY_FILE = (
    (r"(^|/)(pytorch_lora_weights|adapter_model)\.safetensors|(^|/)adapter_config\.json",
     "a LoRA", "Give it with --lora, and its base model with --model, such as"),
    (r"optim_states\.pt|zero_to_fp32\.py|\.distcp|(^|/)optimizer\.(bin|pt)|random_states_\d+\.pkl",
     "a trainer's checkpoint (optimizer states)", "Export it as a pipeline (save_pretrained) and"
     " give that folder, or use"),
    (r"mp_rank_\d+_model_states\.pt|(^|/)3d-vae\.pt|(^|/)transformer_[ti]2v/",
     "SAT weights (zai-org's own format)", "Use the diffusers version"),
    (r"void_pass\d\w*\.safetensors", "VOID (object removal)", "For its first pass, use"),
    (r"\.gguf$", "quantised weights in GGUF", "Use"),
    (r"^[^/]*lora[^/]*\.safetensors$", "a LoRA", "Give it with --lora, and its base model"
     " with --model, such as"),
    (r"^(transformer|vae|text_encoder)/", "some components of a pipeline", "Copy the other"
     " components and model_index.json from its base, or use"),
    (r"^(config\.json|diffusion_pytorch_model.*\.safetensors)$", "a single component", "Put it into"
     " a copy of its base model, in the folder that is named after it, or use"),
    (r"^[^/]+\.(safetensors|pt|pth|ckpt|bin)$", "weights in a single file (as ComfyUI takes them)",
     "Use the diffusers version"),
)  # fmt: skip
"""Files of folders without a pipeline: pattern, what they are, and what to do."""


_MOST_FILES = 2000
"""The most files of a folder that are listed: it may be any folder on this machine."""


def other_pipeline(label: str, pipeline: object) -> CheckpointError:
    """The error for a pipeline of another class."""
    if isinstance(pipeline, str) and (make := _make_of(pipeline, label)):
        what, model = make
        return CheckpointError(
            f"{label} seems to be {what}: its model_index.json names {pipeline:.80}, which cogmagic"
            f" does not run. Use {_use(model)}."
        )
    *others, last = (m.name for m in MODELS if not m.embedded)
    named = f"{', '.join(others)} or {last}"
    return CheckpointError(
        f"{label} holds a {pipeline!s:.80}, not a CogVideoX pipeline"
        f" ({' or '.join(PIPELINES.values())}). Use --model {named}."
    )


def check_make(label: str, component: str, config: Mapping[str, Any]) -> None:
    """Refuse a component whose own configuration names another class than the index does.

    Args:
        label: name of the checkpoint in the message.
        component: the component.
        config: its configuration.

    Raises:
        CheckpointError: naming both classes and the nearest model.
    """
    expected = " or ".join(sorted(COMPONENT_CLASSES[component]))
    given = _class_of(component, config)
    name = expected if given is None else str(given)
    if name not in (expected, *COMPONENT_CLASSES[component]):
        make = _make_of(name, label)
        seems = f" It seems to be {make[0]}." if make else ""
        raise CheckpointError(
            f"{label}: its {component} is {name:.80} ({config_file(component)}), where a CogVideoX"
            f" pipeline has {expected}.{seems} cogmagic does not run it. Use"
            f" {_use(make[1] if make else nearest(label))}."
        )
    if component == "transformer" and "add_noise_in_inpaint_model" in config:
        given, latent = config.get("in_channels"), config.get("out_channels", 16)
        if task_of(given, latent) in INPAINTING:
            return
        raise CheckpointError(
            f"{label} seems to be CogVideoX-Fun Control or Pose: transformer/config.json has"
            f" add_noise_in_inpaint_model and in_channels {given!s:.20}. cogmagic does not run it."
            f" Use {_use(nearest(label, 't2v', config))}."
        )


def _class_of(component: str, config: Mapping[str, Any]) -> object:
    """The class that a component's configuration names; None for none, and for any T5."""
    if component != "text_encoder":
        return config.get("_class_name")
    names = config.get("architectures")
    if isinstance(names, list) and names and not str(names[0]).startswith("T5"):
        return names[0]
    kind = config.get("model_type")
    return None if kind == "t5" else kind


def check_channels(label: str, pipeline: str, configs: Configs) -> None:
    """Refuse a transformer whose channels are not those that its pipeline feeds.

    Args:
        label: name of the checkpoint in the message.
        pipeline: the class that ``model_index.json`` names.
        configs: the configurations of transformer and VAE.

    Raises:
        CheckpointError: with the channels, what the checkpoint seems to be, and the nearest model.
    """
    transformer, latent = configs["transformer"], configs["vae"]["latent_channels"]
    given = transformer["in_channels"]
    task = task_of(given, latent)
    fed = "i2v" if pipeline == PIPELINES["i2v"] else "t2v"
    if task == fed or task in INPAINTING:  # whatever class the index names, which is not used then
        return
    make, like = "", None
    surely_i2v = transformer["ofs_embed_dim"] or transformer["use_learned_positional_embeddings"]
    if task == "i2v" and not surely_i2v:
        make, like = "CogVideoX-Fun Control or Pose", "t2v"
    seems = f"It seems to be {make}, which cogmagic does not run. " if make else ""
    name = f" If it is {_NOUNS[task]}, name {PIPELINES[task]} in model_index.json." if task else ""
    raise CheckpointError(
        f"{label}: transformer/config.json sets in_channels to {given}, but its pipeline"
        f" {pipeline} feeds {latent * (1 + (fed == 'i2v'))} (the VAE has {latent} channels)."
        f" {seems}Use {_use(nearest(label, like, transformer))}.{name}"
    )


_NOUNS = {"t2v": "a text-to-video model", "i2v": "an image-to-video model"}


def no_pipeline(label: str, files: Collection[str], folder: Path | None = None) -> CheckpointError:
    """The error for a folder or repository without ``model_index.json``.

    Args:
        label: the folder or hub id.
        files: the names of its files; if empty, those in `folder`.
        folder: the folder, if it is on this machine.
    """
    files = files or (list(islice(_files_of(folder), _MOST_FILES)) if folder else ())
    why = f"{label} is not a diffusers pipeline: it has no model_index.json."
    below = sorted(f.rpartition("/")[0] for f in files if f.endswith("/model_index.json"))
    above = folder.resolve().parent if folder and folder.name in COMPONENT_CLASSES else None
    if above and (above / "model_index.json").is_file():
        return CheckpointError(f"{why} The folder above has one: --model {above}.")
    if below:
        where = folder / below[0] if folder else "that folder of a local copy"
        return CheckpointError(f"{why} {below[0]} has one: give --model {where}.")
    if folder and (make := _component_make(folder, label)):
        return CheckpointError(f"{why} {make}")
    for pattern, what, do in _BY_FILE:
        if any(re.search(pattern, name) for name in files):
            return CheckpointError(f"{why} It seems to be {what}. {do} {_use(nearest(label))}.")
    if folder:
        return CheckpointError(
            f"{why} Point --model at the folder that holds transformer/, vae/, text_encoder/,"
            " tokenizer/ and scheduler/."
        )
    return CheckpointError(f"{why} Use {_use(nearest(label))}.")


def _component_make(folder: Path, label: str) -> str:
    """What the configuration at the top of a folder says that it is."""
    if not (folder / "config.json").is_file():
        return ""
    try:
        name = str(read_json(folder / "config.json").get("_class_name", ""))
    except CheckpointError:
        return ""
    make = _make_of(name, label)
    return f"It seems to be {make[0]} ({name:.80}). Use {_use(make[1])}." if make else ""


def _files_of(folder: Path, depth: int = 3, above: str = "") -> Iterable[str]:
    """The names of files below a folder, as a hub lists them."""
    try:
        some = islice(folder.iterdir(), _MOST_FILES)
        entries = sorted(some, key=lambda p: (p.is_dir(), p.name))
    except OSError:
        return
    for path in entries:
        if path.is_dir() and not path.is_symlink():
            if depth:
                yield from _files_of(path, depth - 1, f"{above}{path.name}/")
        else:
            yield above + path.name


def _make_of(name: str, label: str) -> tuple[str, Model] | None:
    """What a class is, and the nearest model; None for a class of no known make."""
    for pattern, what, task in _BY_CLASS:
        if re.match(pattern, name):
            return what, nearest(label, task)
    return None


def _use(model: Model) -> str:
    return f"--model {model.name} ({model.source})"
