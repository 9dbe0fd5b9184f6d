"""The panel's form: its values, and errors beside the fields."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from functools import partial
from html import escape
from typing import Any

import ipywidgets as w

from cogmagic._errors import CogMagicError
from cogmagic._models.adapters.described import planned
from cogmagic._models.inputs import INPUTS
from cogmagic._models.model import Model
from cogmagic._notebook.panel.form import following
from cogmagic._notebook.panel.form.checks import field_errors, lacking_inputs, several_error
from cogmagic._notebook.panel.form.examples import Examples
from cogmagic._notebook.panel.form.given import Given
from cogmagic._notebook.panel.form.inputs import HIDEABLE, any_seed, make_inputs
from cogmagic._notebook.panel.form.models import clip_words
from cogmagic._notebook.panel.form.named import Named
from cogmagic._notebook.panel.form.rows import field_rows
from cogmagic._notebook.panel.form.thumbnail import SHOWN, Thumbnail
from cogmagic._notebook.panel.parts.html import error_html, show_html
from cogmagic._notebook.panel.parts.labels import panel_words
from cogmagic._notebook.panel.parts.looks import make

__all__ = ["Fields"]


_FROM_KERNEL = ("tier", "speed", "policy", "keep", "vram_limit", "gpus", "save")
"""Options whose first value is the kernel's default, not the model's."""


_LOCK = "use this seed for every clip; otherwise each clip has a random one"


class Fields:
    """The form, and its values as options of `cogmagic.generate`.

    Args:
        changed: called after every change by the person.
        variables: the user's variables, which fields may name; an upload becomes one.
        defaults: the kernel's own, by the names of the options, and its file of ``presets``.
    """

    def __init__(
        self,
        changed: Callable[[], None],
        variables: MutableMapping[str, Any],
        defaults: Mapping[str, Any],
    ) -> None:
        self._changed, self._quiet, self._named = changed, False, Named()
        self.lacking = ""
        """What the model needs and is not entered, with the label of its field."""
        self._inputs = make_inputs(defaults.get("presets", ""))
        self.inputs = {name: field.widget for name, field in self._inputs.items()}
        self.errors = {name: make(w.HTML) for name in self.inputs}
        self.lock = make(w.ToggleButton, description="Lock", icon="lock", tooltip=_LOCK)
        self.words = {name: make(w.HTML) for name in ("lora", "size", "speed")}
        """What is entered, in words, beside the fields."""
        self.given = Given(variables, self._enter_upload, changed)
        self.examples = Examples(partial(setattr, self.inputs["prompt"], "value"))
        self.thumbnails = {name: Thumbnail(name) for name in SHOWN}
        self.rows = field_rows(self.inputs, self.errors, self._beside())
        self.inputs["model"].value = defaults.get("model", "tiny")
        self._follow_model()
        for name in _FROM_KERNEL:
            if name in defaults:
                self._inputs[name].enter(defaults[name])
        for widget in self.inputs.values():
            widget.observe(self._on_change, "value")

    def _beside(self) -> dict[str, list[Any]]:
        """The widgets of each field's row beside its input."""
        uploads, words = self.given.uploads, self.words
        pictures = {name: [uploads[name], t.view] for name, t in self.thumbnails.items()}
        lora = [uploads["lora"], words["lora"]]
        return pictures | {"seed": [self.lock], "speed": [words["speed"]], "lora": lora}

    def model(self) -> Model | None:
        """The model that is entered, or None if it is unknown."""
        with suppress(CogMagicError):
            return self._named.model(self.inputs["model"].value)
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
        return values | {name: self.given.resolve(values[name]) for name in INPUTS}

    def to_plan(self) -> tuple[dict[str, Any], dict[str, str]]:
        """The options with their adapters read, and the errors of those that failed, by field."""
        return self._named.read(self.options(), self.model())

    def entered(self) -> dict[str, Any]:
        """The options, with the content of variables by their names."""
        idle = following.unused(self._inputs, self.model())
        return {
            name: None if name in idle else field.read()
            for name, field in self._inputs.items()
            if name not in ("prompt", "num_videos")
        }

    def enter(self, prompt: str, options: Mapping[str, Any], count: int = 1) -> None:
        """Enter these values, such as those of an earlier run.

        Raises:
            TraitError: for a value that its field does not offer; some others are entered.
        """
        try:
            with self._without_events():
                self._enter_all(prompt, options, count)
        finally:
            self._show_rows()
            self._changed()

    def _enter_all(self, prompt: str, options: Mapping[str, Any], count: int) -> None:
        self.inputs["model"].value = options["model"]
        self._inputs["preset"].enter(None)
        self._follow_model()
        if (model := self.model()) is not None:
            following.show_lengths(self._inputs, model, options.get("num_frames"))
        self.inputs["prompt"].value = prompt
        self.inputs["num_videos"].value = count
        self.lock.value = options.get("seed") is not None  # the same clip again
        for name in HIDEABLE:
            self._inputs[name].enter(None)
        for name in options.keys() & self._inputs.keys() - {"model"}:
            self._inputs[name].enter(options[name])

    def check(self) -> str:
        """Show each field's error beside it; return the first one with its label, or nothing.

        Inputs that the model needs, and that are not entered, are in `lacking` alone.
        """
        self.lacking = ""
        try:
            model = self._named.model(self.inputs["model"].value)
        except CogMagicError as error:
            return self.show_errors({"model": str(error)})
        options, unread = self.to_plan()
        errors = unread | field_errors(model, self.prompt(), options)
        errors |= several_error(self.inputs["num_videos"].value, options["save"])
        self._show_words(options)
        idle = following.unused(self._inputs, model)
        refused = {name: e for name, e in self.given.errors.items() if name not in idle}
        if errors or refused:
            return self.show_errors(errors | refused)
        self.lacking = self.show_errors(lacking_inputs(model, options))
        return ""

    def show_errors(self, errors: Mapping[str, str]) -> str:
        """Show these errors, and no others; return the first one with its label, or nothing."""
        for name, place in self.errors.items():
            show_html(place, error_html(errors[name]) if name in errors else "")
        for name, text in errors.items():
            title, words = self.inputs[name].description, panel_words(text)
            return words if words.startswith(title) else f"{title}: {words}"
        return ""

    def _show_words(self, options: Mapping[str, Any]) -> None:
        """Show what the inputs, the adapters and the size are, and offer variables."""
        used: dict[str, Any] = {**options, "model": self.model()}
        for name, thumbnail in self.thumbnails.items():
            thumbnail.show(options[name], used)
        adapters = "; ".join(planned(adapter) for adapter in options["lora"] or ())
        show_html(self.words["lora"], escape(adapters))
        if options["fps"] > 0:
            size = options["width"], options["height"], options["num_frames"], options["fps"]
            text = f"{clip_words(*size)} at {options['fps']} frames per second"
            show_html(self.words["size"], escape(text))
        for name, names in self.given.suggestions().items():
            if self.inputs[name].options != names:
                self.inputs[name].options = names

    def _enter_upload(self, name: str, text: str) -> None:
        """Enter an upload; the adapters that are named already stay."""
        value = [*(self._inputs["lora"].read() or []), text] if name == "lora" else text
        self._inputs[name].enter(value)

    def _on_change(self, change: Any) -> None:
        if self._quiet:
            return
        for name, follow in (
            ("model", self._follow_model),
            ("fps", self._follow_rate),
            ("video", self._follow_clip),
            ("preset", self._follow_preset),
        ):
            if change["owner"] is self.inputs[name]:
                with self._without_events():
                    follow()
        if change["owner"] is self.inputs["seed"]:
            self.lock.value = True
        for name in self.given.uploads:
            if change["owner"] is self.inputs[name]:
                self.given.errors.pop(name, None)
        self._show_rows()
        self._changed()

    @contextmanager
    def _without_events(self) -> Iterator[None]:
        self._quiet = True
        try:
            yield
        finally:
            self._quiet = False

    def _follow_model(self) -> None:
        model = self.model()
        self.examples.show_for(model)
        if model is not None:
            following.enter_defaults(self._inputs, model)
            self._follow_clip()
        self._follow_preset()
        self._show_rows()

    def _follow_rate(self) -> None:
        if model := self.model():
            following.show_lengths(self._inputs, model)

    def _follow_clip(self) -> None:
        if model := self.model():
            clip = self.given.resolve(self._inputs["video"].read())
            following.enter_length(self._inputs, model, clip)

    def _follow_preset(self) -> None:
        following.enter_preset(self._inputs, self.model())

    def _show_rows(self) -> None:
        model = self.model()
        idle = following.unused(self._inputs, model)
        following.show_strength(self._inputs, model)
        for name in HIDEABLE:
            self.rows[name].layout.display = "none" if name in idle else ""
