"""The options that make a stored clip again, from the metadata in its file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from cogmagic._errors import CogMagicError
from cogmagic._models.catalog import catalogued
from cogmagic._models.find import find_model
from cogmagic._models.input_options import usual_strength
from cogmagic._models.presets import PRESETS

__all__ = ["ClipSettings", "clip_settings", "model_defaults"]


_SAME_NAME = (
    "width", "height", "num_frames", "num_inference_steps", "guidance_scale", "guidance_from",
    "guidance_until", "seed", "fps", "scheduler", "negative_prompt", "fit", "overlap",
    "invert_mask", "paste_back",
)  # fmt: skip
"""Facts that are options of the same name."""


_ASKED = ("dtype", "truncate", "video", "mask", "tier", "parallel")
"""Options that are recorded under ``asked``: the report has what became of them."""


@dataclass(frozen=True)
class ClipSettings:
    """A prompt and options, by Python name, as `cogmagic.generate` takes them."""

    prompt: str
    options: Mapping[str, Any]
    missing: tuple[str, ...] = ()
    """What the file does not have, in words: a first frame, a local folder."""


def clip_settings(facts: Mapping[str, Any]) -> ClipSettings:
    """The settings that make a clip with this metadata again.

    A preset of the package is an option; of the values of any other one, each is.
    """
    options = {name: facts[name] for name in _SAME_NAME if facts.get(name) not in (None, "")}
    asked = facts.get("asked") or {}
    options |= {"speed": "exact", **_given_options(facts)}
    options |= {name: asked[name] for name in _ASKED if name in asked}
    missing = list[str]()
    model = _model_name(facts)
    if model is None:
        missing.append(f"the model's folder ({facts.get('model')})")
    options["model"] = model or facts.get("model")
    options |= _inputs(facts, options, missing)
    timesteps = facts.get("timesteps") or ()
    if timesteps:
        options["timesteps"] = ",".join(map(str, timesteps))
    loras = list(facts.get("loras") or ())
    if facts.get("preset") in PRESETS:
        preset = PRESETS[facts["preset"]]
        options = {n: v for n, v in options.items() if n not in preset.settings}
        options["preset"] = preset.name
        loras = loras[len(preset.lora) :]
    if loras:
        options["lora"] = [_typed(lora) for lora in loras]
    missing += [f"the folder of {one['name']}" for one in loras if "/" not in str(one["name"])]
    return ClipSettings(str(facts.get("prompt", "")), options, tuple(missing))


def model_defaults(options: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a model where a request gives none; nothing for one that is not here.

    Args:
        options: the request's, by Python name.
    """
    name = str(options.get("model", ""))
    model = catalogued(name)
    if model is None and os.path.isdir(name):  # noqa: PTH112 - no error; the hub is not asked
        with suppress(CogMagicError):
            model = find_model(name)
    if model is None:
        return {}
    names = ("width", "height", "num_inference_steps", "guidance_scale", "scheduler", "fps")
    strength = usual_strength(model, masked=bool(options.get("mask")))
    others = {"num_frames": model.frames.default, "strength": strength}
    return {n: getattr(model, n) for n in names} | others


def _model_name(facts: Mapping[str, Any]) -> str | None:
    """What to type for the model; None for a folder whose path is not recorded."""
    name, source = str(facts.get("model", "")), str(facts.get("source", ""))
    if catalogued(name) is not None:
        return name
    return source if source and source != "local folder" else None


def _given_options(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The options about memory and speed, such as ``compile`` and ``quantize int8``."""
    words = (str(one).partition(" ") for one in facts.get("options") or ())
    return {name: value if space else True for name, space, value in words}


def _inputs(
    facts: Mapping[str, Any], options: Mapping[str, Any], missing: list[str]
) -> dict[str, Any]:
    """The inputs of a request, by their paths; what has no path is added to `missing`."""
    known = _first_inputs(facts, options, missing)
    if facts.get("masked") and "mask" not in options:
        missing.append("its mask")
    if (facts.get("asked") or {}).get("last_image"):
        missing.append("its last frame")
    return known


def _first_inputs(
    facts: Mapping[str, Any], options: Mapping[str, Any], missing: list[str]
) -> dict[str, Any]:
    """What it begins with: a clip to extend, a video or a first frame."""
    if facts.get("extended"):
        if not facts.get("extends"):
            missing.append("the clip that it extends")
        return {"extend": facts["extends"] or None}
    if "strength" in facts:
        if "video" not in options:
            missing.append("the video that it began from")
        return {name: facts[name] for name in ("strength", "start") if name in facts}
    if "fit" in facts:
        missing.append("its first frame")
    return {}


def _typed(lora: Mapping[str, Any]) -> str:
    """A LoRA as it is typed; its file's name in place of a path that is not recorded."""
    weight = lora.get("weight", 1)
    return str(lora["name"]) + (f"@{weight:g}" if weight != 1 else "")
