"""Rules of the family, one function per option: each returns the checked value.

All raise `RequestError` with the nearest legal value.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from cogmagic._errors import RequestError
from cogmagic._models.catalog import MODELS
from cogmagic._models.choices import choice_hint
from cogmagic._models.inputs import ANY_INPUT, INPUTS, check_together, required_inputs
from cogmagic._models.model import Model
from cogmagic._models.other_tools import lora_in_prompt
from cogmagic._models.real_numbers import real_number

__all__ = [
    "choice",
    "fps",
    "frame_count",
    "guidance",
    "inputs",
    "seed_or_random",
    "size",
    "steps",
    "text",
]


_MAX_SEED = 2**64 - 1
"""The largest seed that ``torch.Generator.manual_seed`` takes."""


def text(name: str, value: object, *, required: bool = False) -> str:
    """A text without leading and trailing white space."""
    if not isinstance(value, str):
        raise RequestError(f"The {name} must be text, not {type(value).__name__}.")
    surrogate = next((i for i, c in enumerate(value) if "\ud800" <= c <= "\udfff"), None)
    if surrogate is not None:
        raise RequestError(
            f"The {name} contains an unpaired surrogate (U+{ord(value[surrogate]):X}) at position"
            f" {surrogate}. Delete that character."
        )
    if elsewhere := lora_in_prompt(value):
        raise RequestError(elsewhere)
    stripped = value.strip()
    if required and not stripped:
        raise RequestError(
            f"The {name} is empty. Describe in a sentence what the video should show."
        )
    return stripped


def size(model: Model, width: int | None, height: int | None) -> tuple[int, int]:
    """Width and height in pixels; the model's native size when both are None."""
    if width is None and height is None:
        return model.width, model.height
    for name, side in (("width", width), ("height", height)):
        if side is not None:
            _whole(name, side)
    if width is None or height is None:
        raise RequestError("Give both sides, width and height: for example --size 720x480.")
    rule, asked = model.sizes, f"{width}x{height}"
    native = f"{model.width}x{model.height}"
    if rule.exact:
        if (width, height) != (model.width, model.height):
            raise RequestError(f"{model.name} makes {native} only, not {asked}.")
        return width, height
    nearest = _nearest_size(model, width, height)
    if (width, height) != nearest:
        raise RequestError(
            f"{model.name} cannot make {asked}: both sides must be multiples of {rule.multiple},"
            f" the shorter {_span(rule.short)}, the longer {_span(rule.long)}. Nearest:"
            f" --size {nearest[0]}x{nearest[1]} (native: {native})."
        )
    return width, height


def _span(limits: tuple[int, int]) -> str:
    low, high = limits
    return f"{low}" if low == high else f"{low} to {high}"


def _nearest_size(model: Model, width: int, height: int) -> tuple[int, int]:
    def snap(side: int, limits: tuple[int, int]) -> int:
        step = model.sizes.multiple
        return min(max(round(side / step) * step, limits[0]), limits[1])

    short = snap(min(width, height), model.sizes.short)
    long = snap(max(width, height), model.sizes.long)
    return (long, short) if width >= height else (short, long)


def frame_count(model: Model, num_frames: int | None) -> int:
    """A legal number of frames; the model's default for None."""
    if num_frames is None:
        return model.frames.default
    _whole("num_frames", num_frames)
    legal = model.frames.legal()
    if num_frames in legal:
        return num_frames
    below = max((n for n in legal if n < num_frames), default=None)
    above = min((n for n in legal if n > num_frames), default=None)
    nearest = " or ".join(str(n) for n in (below, above) if n is not None)
    raise RequestError(
        f"{model.name} cannot make {num_frames} frames ({model.frames.rule()})."
        f" Nearest: --num-frames {nearest}."
    )


def steps(model: Model, num_inference_steps: int | None) -> int:
    """Denoising steps, 1 to 1000; the model's default for None."""
    if num_inference_steps is None:
        return model.num_inference_steps
    return _within("num_inference_steps", num_inference_steps, 1, 1000)


def fps(model: Model, frames_per_second: int | None) -> int:
    """Frames per second of the file, 1 to 120; the model's default for None."""
    if frames_per_second is None:
        return model.fps
    return _within("fps", frames_per_second, 1, 120)


def _within(name: str, value: int, least: int, most: int) -> int:
    _whole(name, value)
    if least <= value <= most:
        return value
    nearest = min(max(value, least), most)
    flag = f"--{name.replace('_', '-')}"
    raise RequestError(
        f"{flag} is {value}, but must be {least} to {most}. Nearest: {flag} {nearest}."
    )


def _whole(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise RequestError(f"{name}={value!r:.80} is not a whole number.")


def guidance(model: Model, scale: float | None) -> float:
    """A guidance scale of 1 to 20; the model's default for None."""
    if scale is None:
        return model.guidance_scale
    number = real_number("guidance_scale", scale)
    if not 1.0 <= number <= 20.0:  # nor NaN
        raise RequestError(
            f"--guidance-scale is {number:.10g}, but must be 1 (no guidance) to 20;"
            f" the default of {model.name} is {model.guidance_scale:g}."
        )
    return scale


def seed_or_random(seed: int | None) -> int:
    """A seed of 0 to 2⁶⁴ - 1; a random one below 2³¹ for None."""
    if seed is None:
        return secrets.randbelow(2**31)
    _whole("seed", seed)
    if not 0 <= seed <= _MAX_SEED:
        hint = "For a random one, leave it out" if seed < 0 else f"Nearest: --seed {_MAX_SEED}"
        raise RequestError(f"--seed is {seed}, but must be 0 to 2^64 - 1. {hint}.")
    return seed


def choice(name: str, value: str | None, choices: tuple[Any, ...]) -> Any:
    """One of the choices, or None."""
    if value is None:
        return value
    if not isinstance(value, str):
        raise RequestError(f"{name}={value!r:.80} is not text. Choose from: {', '.join(choices)}.")
    if value in choices:
        return value
    raise RequestError(f"Unknown {name} {value!r:.80}.{choice_hint(name, value, choices)}")


def inputs(model: Model, given: Mapping[str, Any]) -> dict[str, Any]:
    """The model's inputs by option, converted; none for a placeholder (`ANY_INPUT`)."""
    given = {name: given[name] for name in INPUTS if given.get(name) is not None}
    if "extend" in given or all(map(model.takes, given)):
        check_together(given)
    for name in given:
        if not model.takes(name):
            raise _taken_by_others(model, name)
    for one in required_inputs(model.task, given).values():
        raise RequestError(f"{model.name} needs {one.noun}: {one.usage}.")
    return {
        name: INPUTS[name].convert(value) for name, value in given.items() if value is not ANY_INPUT
    }


def _taken_by_others(model: Model, name: str) -> RequestError:
    """The error of an input for other models than this one, the nearest first."""
    # No embedded model can do the work of a real one; and those that inpaint can do most things.
    task = INPUTS[name].tasks[0]
    takers = [m.name for m in MODELS if m.task == task and m.embedded <= model.embedded]
    takers.sort(key=lambda taker: not taker.startswith(f"{model.name}-"))
    noun = name.replace("_", " ")
    what = "cannot extend a clip" if name == "extend" else f"takes no {noun}"
    purpose = INPUTS[name].purpose
    named = " or ".join(filter(None, (", ".join(takers[:-1]), *takers[-1:])))
    return RequestError(f"{model.name} {what}. For {purpose}: --model {named}.")
