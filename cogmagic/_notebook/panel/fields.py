"""The panel's form: its values, the model's defaults, errors beside the fields."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import ipywidgets as w

from cogmagic._errors import CogMagicError, RequestError
from cogmagic._models.adapters.adapter import Adapter, as_adapters
from cogmagic._models.find import find_model
from cogmagic._models.inputs import INPUTS
from cogmagic._models.model import Model
from cogmagic._models.presets import Preset
from cogmagic._models.presets_file import find_preset
from cogmagic._notebook.panel.checks import field_errors, several_error
from cogmagic._notebook.panel.examples import Examples
from cogmagic._notebook.panel.first_frame import FirstFrame
from cogmagic._notebook.panel.inputs import USED_WITH, any_seed, make_inputs
from cogmagic._notebook.panel.layout import field_rows
from cogmagic._notebook.panel.lookup import Lookup
from cogmagic._notebook.panel.parts import error_html, show_html
from cogmagic._notebook.panel.thumbnail import Thumbnail

__all__ = ["Fields"]


_FROM_KERNEL = ("tier", "speed", "policy", "keep", "vram_limit", "gpus", "save")
"""Options whose first value is the kernel's default, not the model's."""


_FROM_MODEL = ("width", "height", "num_inference_steps", "guidance_scale", "scheduler", "fps")


_LOCK = "use this seed for every clip; otherwise each clip has a random one"


_FROM_PRESET = ("num_inference_steps", "guidance_scale", "scheduler")


class Fields:
    """The form, and its values as options of `cogmagic.generate`.

    Args:
        changed: called after every change by the person.
        variables: the user's variables, for the first frame; an upload becomes one.
        defaults: the kernel's own, by the names of the options, and its file of ``presets``.
    """

    def __init__(
        self,
        changed: Callable[[], None],
        variables: MutableMapping[str, Any],
        defaults: Mapping[str, Any],
    ) -> None:
        self._changed, self._quiet = changed, False
        self._find_model = Lookup[str, Model](lambda name: find_model(name))
        self._find_loras = Lookup[tuple[Any, ...], tuple[Adapter, ...]](as_adapters)
        self._find_preset_loras = Lookup[tuple[Any, ...], tuple[Adapter, ...]](as_adapters)
        self._inputs = make_inputs(defaults.get("presets", ""))
        self.inputs = {name: field.widget for name, field in self._inputs.items()}
        self.errors = {name: w.HTML() for name in self.inputs}
        self.lock = w.ToggleButton(description="Lock", icon="lock", tooltip=_LOCK)
        self.speeds = w.HTML()
        """The predicted seconds of each speed."""
        self.first_frame = FirstFrame(variables, self._inputs["image"].enter, changed)
        self.examples = Examples(partial(setattr, self.inputs["prompt"], "value"))
        self.thumbnail = Thumbnail()
        self.rows = field_rows(
            self.inputs,
            self.errors,
            {
                "seed": [self.lock],
                "image": [self.first_frame.upload, self.thumbnail.view],
                "speed": [self.speeds],
            },
        )
        self.inputs["model"].value = defaults.get("model", "tiny")
        self._enter_model_defaults()
        for name in _FROM_KERNEL:
            if name in defaults:
                self._inputs[name].enter(defaults[name])
        for widget in self.inputs.values():
            widget.observe(self._on_change, "value")

    def model(self) -> Model | None:
        """The model that is entered, or None if it is unknown."""
        with suppress(CogMagicError):
            return self._find_model(self.inputs["model"].value)
        return None

    def draw_seed(self) -> None:
        """Enter a random seed for the next run, unless the seed is locked."""
        if not self.lock.value:
            with self._without_events():
                self._inputs["seed"].enter(any_seed())

    def prompt(self) -> str:
        """The prompt as entered."""
        return str(self.inputs["prompt"].value)

    def options(self) -> dict[str, Any]:
        """What is entered, as options of `generate`, without the prompt."""
        values = self.entered()
        return values | {name: self.first_frame.resolve(values[name]) for name in INPUTS}

    def to_plan(self) -> tuple[dict[str, Any], dict[str, str]]:
        """The options with their adapters read, and the errors of the fields of those that failed.

        An adapter that has not changed is read once: the form is checked at every key.
        """
        options, errors = self.options(), dict[str, str]()
        reads: dict[str, Callable[[], Any]] = {
            "lora": lambda: options["lora"] and self._find_loras(tuple(options["lora"])),
            "preset": lambda: self._preset_read(options),
        }
        for name, read in reads.items():
            try:
                options[name] = read()
            except CogMagicError as error:
                options[name], errors[name] = None, str(error)
        return options, errors

    def entered(self) -> dict[str, Any]:
        """The same, with the first frame by the name of its variable."""
        unused = self._unused()
        return {
            name: None if name in unused else field.read()
            for name, field in self._inputs.items()
            if name not in ("prompt", "num_videos")
        }

    def enter(self, prompt: str, options: Mapping[str, Any]) -> None:
        """Enter these values, such as those of an earlier run."""
        with self._without_events():
            self.inputs["model"].value = options["model"]
            self._enter_model_defaults()
            self.inputs["prompt"].value = prompt
            self.lock.value = options.get("seed") is not None  # the same clip again
            for name in (*INPUTS, *USED_WITH):
                self._inputs[name].enter(None)
            for name in options.keys() & self._inputs.keys() - {"model"}:
                self._inputs[name].enter(options[name])
        self._changed()

    def check(self) -> str:
        """Show each field's error beside it; return the first one with its label, or nothing."""
        try:
            model = self._find_model(self.inputs["model"].value)
        except CogMagicError as error:
            return self.show_errors({"model": str(error)})
        options, unread = self.to_plan()
        errors = unread | field_errors(model, self.prompt(), options)
        errors |= several_error(self.inputs["num_videos"].value, options["save"])
        size = options["width"], options["height"]
        image = None if errors.get("image") else options["image"]
        self.thumbnail.show(image, *size, options["fit"])
        if self.first_frame.error and model.takes("image"):
            errors["image"] = self.first_frame.error
        return self.show_errors(errors)

    def show_errors(self, errors: Mapping[str, str]) -> str:
        """Show these errors, and no others; return the first one with its label, or nothing."""
        for name, place in self.errors.items():
            show_html(place, error_html(errors[name]) if name in errors else "")
        return next((f"{self.inputs[n].description}: {text}" for n, text in errors.items()), "")

    def _preset_read(self, options: Mapping[str, Any]) -> Preset | None:
        """The preset of the options, its adapters read."""
        preset = find_preset(options["preset"]) if options["preset"] else None
        if preset is None:
            return None
        if model := self.model():
            preset.check(model, options)  # before the hub is asked
        return replace(preset, lora=self._find_preset_loras(preset.lora))

    def _on_change(self, change: Any) -> None:
        if self._quiet:
            return
        if change["owner"] is self.inputs["seed"]:
            self.lock.value = True
        if change["owner"] is self.inputs["image"]:
            self.first_frame.error = ""
        if change["owner"] is self.inputs["model"]:
            with self._without_events():
                self._enter_model_defaults()
        if change["owner"] is self.inputs["fps"]:
            with self._without_events():
                self._show_lengths()
        if change["owner"] in (self.inputs["model"], self.inputs["preset"]):
            with self._without_events():
                self._enter_preset()
        self._show_rows()
        self._changed()

    @contextmanager
    def _without_events(self) -> Iterator[None]:
        self._quiet = True
        try:
            yield
        finally:
            self._quiet = False

    def _enter_model_defaults(self) -> None:
        model = self.model()
        self.examples.show_for(model)
        if model is not None:
            for name in _FROM_MODEL:
                self._inputs[name].enter(getattr(model, name))
            self._show_lengths(model.frames.default)
        self._show_rows()

    def _show_lengths(self, num_frames: int | None = None) -> None:
        """Offer the model's numbers of frames with their seconds."""
        frames, fps, model = self.inputs["num_frames"], self.inputs["fps"].value, self.model()
        if model is None or fps < 1:
            return
        before = frames.value if num_frames is None else num_frames
        frames.options = [(f"{n} ({n / fps:.2g} s)", n) for n in model.frames.legal()]
        frames.value = before

    def _unused(self) -> set[str]:
        """The options that the model does not take, or that concern an input that is not given."""
        model = self.model()
        taken = {name for name in INPUTS if model is not None and model.takes(name)}
        given = {name for name in taken if self._inputs[name].read() is not None}
        idle = {name for name, inputs in USED_WITH.items() if not inputs & given}
        return (INPUTS.keys() - taken) | idle

    def _show_rows(self) -> None:
        unused = self._unused()
        for name in (*INPUTS, *USED_WITH):
            self.rows[name].layout.display = "none" if name in unused else ""

    def _enter_preset(self) -> None:
        """Enter the steps, guidance and scheduler of the preset; those of the model without one."""
        model, name = self.model(), self._inputs["preset"].read()
        settings: dict[str, Any] = {}
        with suppress(RequestError):  # which `check` shows
            settings = find_preset(name).settings if name else {}
        for option in _FROM_PRESET if model else ():
            self._inputs[option].enter(settings.get(option, getattr(model, option)))
