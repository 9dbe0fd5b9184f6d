"""What the form enters by itself: defaults of the model, its lengths, settings of a preset."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from cogmagic._errors import CogMagicError, RequestError
from cogmagic._models.input_options import usual_strength
from cogmagic._models.inputs import INPUTS, placeholders
from cogmagic._models.model import Model
from cogmagic._models.presets_file import find_preset
from cogmagic._models.request import Request
from cogmagic._notebook.panel.form.inputs import USED_WITH, Input

__all__ = [
    "enter_defaults",
    "enter_length",
    "enter_preset",
    "show_lengths",
    "show_strength",
    "unused",
]


_FROM_MODEL = ("width", "height", "num_inference_steps", "guidance_scale", "scheduler", "fps")


_FROM_PRESET = ("num_inference_steps", "guidance_scale", "scheduler")


def enter_defaults(inputs: Mapping[str, Input], model: Model) -> None:
    """Enter the model's own values."""
    for name in _FROM_MODEL:
        inputs[name].enter(getattr(model, name))
    show_lengths(inputs, model, model.frames.default)


def show_lengths(inputs: Mapping[str, Input], model: Model, num_frames: int | None = None) -> None:
    """Offer the model's numbers of frames with their seconds.

    Of a clip that is made in chunks these are whole seconds, and the number that is entered.

    Args:
        inputs: of the form.
        model: the one that is entered.
        num_frames: the number to enter; None leaves it.
    """
    frames, fps = inputs["num_frames"].widget, inputs["fps"].widget.value
    if fps < 1:
        return
    before = frames.value if num_frames is None else num_frames
    rule = model.frames
    counts = {*rule.at_once(), *range((rule.most // fps + 1) * fps, rule.longest + 1, fps)}
    counts |= {before} & {*rule.legal()}
    frames.options = [(f"{n} ({_seconds(n / fps)} s)", n) for n in sorted(counts)]
    frames.value = before


def enter_length(inputs: Mapping[str, Input], model: Model, clip: Any) -> None:
    """Enter the default length of a request for `clip`, the video to begin from.

    Another length than the model's default, which a person has chosen, is only shortened.
    """
    if clip is not None and model.takes("video"):
        given = {"video": clip, "fps": inputs["fps"].read(), "start": inputs["start"].read()}
        with suppress(CogMagicError):  # which the form's check shows
            request = Request.of("any prompt", model, **placeholders(model.task, given) | given)
            length, entered = request.num_frames, inputs["num_frames"].widget.value
            if entered == model.frames.default or entered > length:
                show_lengths(inputs, model, length)


def _seconds(length: float) -> str:
    return f"{length:.2g}" if length < 100 else f"{length:.0f}"


def show_strength(inputs: Mapping[str, Input], model: Model | None) -> None:
    """Show the strength of a request that gives none, which depends on the mask."""
    if model is not None:
        masked = inputs["mask"].read() is not None
        inputs["strength"].widget.placeholder = f"{usual_strength(model, masked=masked):g}"


def enter_preset(inputs: Mapping[str, Input], model: Model | None) -> None:
    """Enter the steps, guidance and scheduler of the preset; those of the model without one."""
    name, settings = inputs["preset"].read(), dict[str, Any]()
    with suppress(RequestError):  # which the form's check shows
        settings = find_preset(name).settings if name else {}
    for option in _FROM_PRESET if model else ():
        inputs[option].enter(settings.get(option, getattr(model, option)))


def unused(inputs: Mapping[str, Input], model: Model | None) -> set[str]:
    """The options that the model does not take, or that concern an input that is not given."""
    taken = {name for name in INPUTS if model is not None and model.takes(name)}
    given = {name for name in taken if inputs[name].read() is not None}
    idle = {name for name, concerned in USED_WITH.items() if not concerned & given}
    return (INPUTS.keys() - taken) | idle
