"""The errors of the panel's fields: each rule of a request, checked for its fields alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from cogmagic._api.plan import configs_for
from cogmagic._errors import CogMagicError
from cogmagic._files import typed_path
from cogmagic._footprint.adapters import check_adapters
from cogmagic._machine.amounts import gib_bytes
from cogmagic._machine.gpu import gpu_names
from cogmagic._machine.machine import Machine
from cogmagic._models.inputs import placeholders, required_inputs
from cogmagic._models.model import Model
from cogmagic._models.request import Request
from cogmagic._pipeline.storage import storage_options
from cogmagic._planning.memory_options import MemoryOptions
from cogmagic._units import GIB

__all__ = ["field_errors", "lacking_inputs", "several_error"]


_TOGETHER = (
    ("width", "height"),
    ("num_frames",),
    ("num_inference_steps",),
    ("seed",),
    ("guidance_scale",),
    ("negative_prompt",),
    ("scheduler",),
    ("dtype",),
    ("fps",),
)
"""Options that are checked together; the error is shown at the last of them."""


_MEMORY_OPTIONS: tuple[tuple[str, ...], ...] = (
    ("attention",),
    ("cache",),
    ("speed", *storage_options()),
)
"""Options about memory and speed that are checked together; the error is shown at the first."""


_WITH_PRESET = ("preset", "num_inference_steps", "guidance_scale", "scheduler")
"""Options that a preset sets, which must agree with it."""


_WITH_CLIP = {
    "video": ("strength", "start", "fit", "num_frames", "num_inference_steps", "fps"),
    "mask": ("video", "invert_mask", "start", "fit", "num_frames", "fps"),
    "extend": ("image", "overlap", "fit", "num_frames", "fps"),
}
"""Options that are checked together with a clip or its mask; the error is shown at that one."""


_NEEDED = {
    "image": "a first frame, or a clip to extend",
    "video": "a clip, from which something is removed",
    "mask": "a mask of what is removed",
}
"""The inputs that some model needs, in words."""


def field_errors(model: Model, prompt: str, options: Mapping[str, Any]) -> dict[str, str]:
    """The error of each field that has one, by option.

    Args:
        model: the model that is entered.
        prompt: what is entered; not checked while empty, or while another field is wrong.
        options: values of the options, their adapters read; None where nothing is entered.
    """
    # With a placeholder for the first frame, the checks of other fields need not decode it.
    request = partial(Request.of, model=model, **placeholders(model.task, {}))
    errors: dict[str, str] = {}
    for names in _TOGETHER:
        given = {name: options[name] for name in names if options[name] is not None}
        errors[names[-1]] = _error(partial(request, "any prompt", **given))
    if options["preset"] is not None and not any(errors.values()):
        given = {name: options[name] for name in _WITH_PRESET}
        errors["preset"] = _error(partial(_check_loras, partial(request, "any prompt", **given)))
    if options["lora"] is not None:
        preset = None if errors.get("preset") else options["preset"]
        given = {"lora": options["lora"], "preset": preset}
        errors["lora"] = _error(partial(_check_loras, partial(request, "any prompt", **given)))
    errors["gpus"] = _error(lambda: Machine.detect_hardware().only(gpu_names(options["gpus"])))
    for together in _MEMORY_OPTIONS:
        chosen = {name: options.get(name) for name in together if options.get(name)}
        errors[together[0]] = _error(partial(MemoryOptions.of, **chosen))
    errors["vram_limit"] = _limit_error(options["vram_limit"])
    if options["image"] is not None and options["extend"] is None and model.takes("image"):
        errors["image"] = _error(partial(Request.of, "any prompt", model, image=options["image"]))
    for name, beside in _WITH_CLIP.items():
        if options[name] is not None and not (name == "mask" and errors.get("video")):
            given = {one: options[one] for one in (name, *beside) if options[one] is not None}
            given = placeholders(model.task, given) | given
            errors[name] = _error(partial(Request.of, "any prompt", model, **given))
    errors = {name: error for name, error in errors.items() if error}
    if not errors and prompt.strip() and (error := _error(partial(request, prompt))):
        return {"prompt": error}
    return errors


def lacking_inputs(model: Model, options: Mapping[str, Any]) -> dict[str, str]:
    """What the model needs and is not entered, by option; a plan can be made without it."""
    lacks = required_inputs(model.task, options)
    if "mask" in lacks and "video" in lacks:  # its field appears with the clip
        del lacks["mask"]
    return {name: f"{model.name} needs {_NEEDED[name]}." for name in lacks}


def several_error(count: int, save: str | None) -> dict[str, str]:
    """The error of a file that several clips would be saved to, by option; empty without one."""
    if count == 1 or save is None:
        return {}
    with suppress(RuntimeError, OSError, ValueError):  # ~nobody; a name that no file can have
        if typed_path(save).is_dir():
            return {}
    return {"save": f"{count} clips need a folder that exists. Enter one, or leave it empty."}


def _check_loras(build: Callable[[], Request]) -> None:
    request = build()
    check_adapters(request, configs_for(request))


def _limit_error(nbytes: float | None) -> str:
    if nbytes is None:
        return ""
    error = _error(partial(gib_bytes, nbytes / GIB, "VRAM limit"))
    return error and f"{error} 0 is no limit."


def _error(check: Callable[[], Any]) -> str:
    """The message with which `check` refuses, or an empty string."""
    try:
        check()
    except CogMagicError as error:
        return str(error)
    return ""
