"""The panel's inputs: one widget per option of the cell, and how its value becomes the option's."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ipywidgets as w

from cogmagic._api.options.table import cell_options
from cogmagic._api.options.words import quoted, split_list
from cogmagic._models.inputs import INPUTS
from cogmagic._models.presets_file import in_file, preset_names
from cogmagic._notebook.panel.form.models import model_picker
from cogmagic._notebook.panel.form.speeds import speed_picker
from cogmagic._notebook.panel.parts.labels import label
from cogmagic._notebook.panel.parts.looks import auto_width, make
from cogmagic._units import GIB

__all__ = ["HIDEABLE", "USED_WITH", "Input", "any_seed", "make_inputs", "switches"]


USED_WITH = {
    "strength": {"video"}, "start": {"video"}, "overlap": {"extend"}, "mask": {"video"},
    "fit": {"image", "video", "extend"}, "last_image": {"image", "extend"},
    "invert_mask": {"mask"}, "paste_back": {"mask", "last_image"},
}  # fmt: skip
"""Options that concern an input, and are shown and used with one of these only."""


HIDEABLE = (*INPUTS, *USED_WITH)
"""Options whose rows are hidden where the model or the other inputs do not use them."""


_NO_INPUT = ("dry-run", "help")
"""Switches of a cell that the panel does not have."""


_MODEL_DTYPE = "the model's"


_SPEED_ATTENTION = "the speed's"


_FIT = "its usual way"


_COUNTS = (1, 2, 3, 4, 6, 8, 12, 16)


_PLACEHOLDER = "Describe the clip: who or what, what happens, where, the light, the camera."


_CHOICES = {
    ("tier", "auto"): "automatic",
    ("tier", "none"): "no offload",
    ("policy", "auto"): "prediction",
    ("policy", "rule"): "the published rule",
    ("keep", "hot"): "on the GPU",
    ("keep", "warm"): "in RAM",
    ("keep", "cold"): "nowhere",
    ("fit", "crop"): "cutting off edges",
    ("fit", "pad"): "adding bars",
    ("fit", "stretch"): "stretching",
    ("scheduler", "ddim"): "DDIM",
    ("scheduler", "dpm"): "DPM",
}
"""The words of choices that differ from what one types in a cell."""


_TOOLTIPS = {
    "prompt": "what the video should show; Ctrl+Enter generates",
    "width": "width in pixels",
    "height": "height in pixels",
}
"""Tooltips of fields that are no option of a cell."""


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Input:
    """A widget for one option, and the conversions between what it shows and the option."""

    widget: Any
    empty: Any = None
    """What the widget shows where the option is None; None where the option always has a value."""
    parse: Callable[[Any], Any] = _same
    show: Callable[[Any], Any] = _same

    def read(self) -> Any:
        """The option's value."""
        shown = self.widget.value
        return None if shown == self.empty else self.parse(shown)

    def enter(self, value: Any) -> None:
        """Show this value of the option."""
        self.widget.value = self.empty if value is None else self.show(value)


def make_inputs(presets: str = "") -> dict[str, Input]:
    """A new widget for the prompt and for each option of the panel, by Python name.

    Args:
        presets: the TOML file of the user's presets; empty for none.
    """
    options = {option.dest: option for option in cell_options()}

    def choice(name: str, *, empty: str | None = None, **traits: Any) -> Input:
        """A dropdown with the choices of the option, after `empty`, which stands for None."""
        choices = [*([empty] if empty else []), *(options[name].choices or ())]
        words = [(_CHOICES.get((name, choice), choice), choice) for choice in choices]
        return _input(w.Dropdown, name, empty=empty, options=words, **traits)

    def number(name: str, default: float, step: float) -> Input:
        """A number that is left out where it is the default."""
        kind = w.IntText if isinstance(default, int) else w.FloatText
        return _input(kind, name, empty=default, value=default, step=step)

    def path_or_variable(name: str) -> Input:
        """A text; the names of variables that fit are offered."""
        return _input(w.Combobox, name, empty="", placeholder="path or variable")

    inputs = {
        "prompt": _input(
            w.Textarea, "prompt", rows=4, placeholder=_PLACEHOLDER, continuous_update=True
        ),
        "negative_prompt": _input(w.Text, "negative_prompt", placeholder="blurry, distorted"),
        "model": Input(model_picker()),
        "image": path_or_variable("image"),
        "video": path_or_variable("video"),
        "extend": path_or_variable("extend"),
        "last_image": path_or_variable("last_image"),
        "mask": path_or_variable("mask"),
        "width": _input(w.IntText, "width", step=16),
        "height": _input(w.IntText, "height", step=16),
        "num_frames": _input(w.Dropdown, "num_frames"),
        "num_inference_steps": _input(w.IntText, "num_inference_steps"),
        "guidance_scale": _input(w.FloatText, "guidance_scale", step=0.5),
        # As text, because a browser's numbers are exact up to 2^53 only.
        "seed": Input(_widget(w.Text, "seed", value=any_seed()), parse=_seed, show=str),
        "num_videos": _input(w.Dropdown, "num_videos", options=_COUNTS),
        "tier": choice("tier"),
        "speed": Input(speed_picker()),
        "lora": Input(
            _widget(w.Text, "lora", placeholder="style.safetensors@0.8, owner/name"),
            empty="",
            parse=split_list,
            show=_listed,
        ),
        "strength": Input(_widget(w.Text, "strength"), empty="", parse=_number, show=_shortest),
        "start": number("start", 0.0, 0.5),
        "overlap": number("overlap", 1, 1),
        "fit": choice("fit", empty=_FIT),
        "scheduler": choice("scheduler"),
        "preset": _input(w.Dropdown, "preset", empty="", options=preset_choices(presets)),
        "dtype": choice("dtype", empty=_MODEL_DTYPE),
        "fps": _input(w.IntText, "fps"),
        "policy": choice("policy"),
        "attention": choice("attention", empty=_SPEED_ATTENTION),
        "cache": _input(w.Text, "cache", placeholder="none"),
        "vram_limit": Input(
            _widget(w.FloatText, "vram_limit", step=0.5),
            empty=0.0,
            parse=_limit,
            show=lambda nbytes: nbytes / GIB,
        ),
        "gpus": _input(w.Text, "gpus", empty="", placeholder="all, or index or UUID, as in 0,2"),
        "keep": choice("keep", value="warm"),
        "save": _input(
            w.Text, "save", empty="", placeholder="file.mp4, .gif, .webm, .png or folder"
        ),
    }
    for name in switches():
        empty = False if name in USED_WITH else None
        inputs[name] = Input(make(w.Checkbox, description=label(name), indent=False), empty)
    for name, field in inputs.items():
        field.widget.tooltip = options[name].help if name in options else _TOOLTIPS[name]
    return inputs


def switches() -> tuple[str, ...]:
    """The options that the panel shows as checkboxes."""
    options = (o for o in cell_options() if o.metavar is None and o.name not in _NO_INPUT)
    return tuple(option.dest for option in options)


def preset_choices(file: str) -> list[tuple[str, str]]:
    """The names of the presets, each with what `find_preset` takes; the first is for none."""
    return [("none", ""), *((name, in_file(name, file)) for name in preset_names(file))]


def any_seed() -> str:
    """A random seed, as the panel shows it."""
    return str(random.randrange(2**31))  # noqa: S311 - no secret


def _seed(text: str) -> int | str:
    """The number; anything else as it was typed, for the request to refuse."""
    text = text.strip()
    return int(text) if text.isdecimal() else text


def _number(text: str) -> float | str:
    """The number; anything else as it was typed, for the request to refuse."""
    try:
        return float(text)
    except ValueError:
        return text


def _shortest(number: float) -> str:
    return f"{number:g}"


def _limit(gib: float) -> float:
    """Bytes; an amount that no integer has stays, for the check to refuse."""
    nbytes = gib * GIB
    return round(nbytes) if math.isfinite(nbytes) else nbytes


def _listed(loras: str | list[str]) -> str:
    """LoRAs as the panel shows them: texts with commas, in quotes where they need them."""
    loras = [loras] if isinstance(loras, str) else loras
    return ", ".join(f'"{one}"' if "," in one else quoted(one) for one in loras)


def _input(kind: Any, name: str, *, empty: Any = None, **traits: Any) -> Input:
    return Input(_widget(kind, name, **traits), empty)


def _widget(kind: Any, name: str, **traits: Any) -> Any:
    """A widget that reports a change when it loses focus or Enter is pressed, not at every key."""
    if kind is not w.Dropdown:
        traits = {"continuous_update": False} | traits
    return make(kind, description=label(name), layout=auto_width(), **traits)
