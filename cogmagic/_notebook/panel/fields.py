"""The inputs of the panel, one for each option of the cell, and what is wrong with each."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, MutableMapping
from html import escape
from io import BytesIO
from typing import Any

import ipywidgets as w

from cogmagic._api.options import OPTIONS
from cogmagic._errors import CogMagicError, RequestError
from cogmagic._machine.gpu import gpu_names
from cogmagic._machine.machine import Machine
from cogmagic._models.catalog import DTYPES, MODELS, SCHEDULERS, Model
from cogmagic._models.find import find_model
from cogmagic._models.request import Request
from cogmagic._planning.options import KEEPS
from cogmagic._tiers.needs import TIERS
from cogmagic._units import GIB

__all__ = ["Fields"]


_HELP = {option.dest: option.help for option in OPTIONS}


_SWITCHES = ("compile", "lean_decode", "guidance_halves", "fp8", "truncate", "overwrite")


_STYLE = {"description_width": "10em"}


_AGAIN = 10.0
"""Seconds after which a model that was not found is looked for again."""


_EMPTY = {"vram_limit": 0.0, "save": "", "gpus": "", "image": "", "dtype": "the model's"}
"""How fields show that nothing is wanted."""


class Fields:
    """The inputs, and their values as the options of `cogmagic.generate`.

    Args:
        changed: called after a change by the person.
        names: the user's variables, for the first frame; an upload becomes one.
        defaults: the kernel's own, by the names of the options.
    """

    def __init__(
        self,
        changed: Callable[[], None],
        names: MutableMapping[str, Any],
        defaults: Mapping[str, Any],
    ) -> None:
        self._changed, self.names, self._quiet = changed, names, False
        self._found: tuple[str, float, Model | CogMagicError] = ("", 0.0, RequestError(""))
        self._bad_upload = ""
        self.inputs: dict[str, Any] = {
            "prompt": _described(w.Textarea, "Prompt", rows=3, continuous_update=True),
            "model": _described(w.Combobox, "Model", options=[m.name for m in MODELS]),
            "width": _described(w.IntText, "Width", step=16),
            "height": _described(w.IntText, "Height", step=16),
            "num_frames": _described(w.Dropdown, "Frames"),
            "num_inference_steps": _described(w.IntText, "Steps"),
            "guidance_scale": _described(w.FloatText, "Guidance", step=0.5),
            "seed": _described(w.Text, "Seed"),  # a page's numbers end at 2^53
            "tier": _described(w.Dropdown, "Tier", options=("auto", *TIERS)),
            "negative_prompt": _described(w.Text, "Negative prompt"),  # one line, as in a cell
            "scheduler": _described(w.Dropdown, "Scheduler", options=SCHEDULERS),
            "dtype": _described(w.Dropdown, "Precision", options=("the model's", *DTYPES)),
            "fps": _described(w.IntText, "Frames a second"),
            "policy": _described(w.Dropdown, "Policy", options=("auto", "rule")),
            "vram_limit": _described(w.FloatText, "VRAM limit (GiB)", step=0.5),
            "gpus": _described(w.Text, "GPUs", placeholder="all; or by index or UUID, as 0,2"),
            "keep": _described(w.Dropdown, "Keep", options=KEEPS, value="warm"),
            "save": _described(w.Text, "Save to", placeholder="file.mp4 or folder"),
            "image": _described(w.Text, "First frame", placeholder="path or variable"),
        }
        for name in _SWITCHES:
            self.inputs[name] = w.Checkbox(description=name.replace("_", " "), indent=False)
        self.upload = w.FileUpload(
            accept="image/*",
            description="Upload a first frame",
            layout=w.Layout(width="auto", align_self="flex-start"),
        )
        self.die = w.Button(description="New seed", icon="random", tooltip="a random seed")
        self.die.on_click(lambda _: self._roll())
        self.wrong = {name: w.HTML() for name in self.inputs}
        self.inputs["seed"].value = _any_seed()
        self.inputs["model"].value = defaults.get("model", "tiny")
        self._take_defaults()
        for name in ("tier", "policy", "keep", "vram_limit", "gpus", "save"):
            self._enter(name, defaults.get(name, self.inputs[name].value))
        for name, field in self.inputs.items():
            field.tooltip = _HELP.get(name, "")
            field.observe(self._on_change, "value")
        self.upload.observe(self._take_upload, "value")

    def view(self) -> Any:
        """The fields, the rarer ones folded away."""
        first = ["prompt", "model"]
        often = ["width", "height", "num_frames", "num_inference_steps", "guidance_scale", "tier"]
        shown = {*first, *often, "seed", "image"}
        rest = [name for name in self.inputs if name not in shown]
        self.first_frame = w.VBox([*self._rows(("image",)), self.upload])
        self._show_first_frame()
        folded = w.Accordion([w.VBox(self._rows(rest))], titles=("More options",))
        grid = w.Box(self._rows(often), layout=w.Layout(flex_flow="row wrap"))
        return w.VBox([*self._rows(first), self.first_frame, grid, *self._rows(["seed"]), folded])

    def _rows(self, names: Any) -> list[Any]:
        rows = []
        for name in names:
            parts = [self.inputs[name], *([self.die] if name == "seed" else []), self.wrong[name]]
            rows.append(w.Box(parts, layout=w.Layout(flex_flow="row wrap", align_items="center")))
        return rows

    def model(self) -> Model | None:
        """The model that is named, or None if there is no such."""
        found = self._look_up()
        return None if isinstance(found, CogMagicError) else found

    def options(self) -> dict[str, Any]:
        """What is entered, as options of `generate`, without the prompt."""
        values = self.entered()
        image = values["image"]
        return values | {"image": self.names.get(image, image) if image else None}

    def entered(self) -> dict[str, Any]:
        """The same, with a first frame as it is named."""
        values = {name: field.value for name, field in self.inputs.items() if name != "prompt"}
        values |= {name: None for name, empty in _EMPTY.items() if values[name] == empty}
        if values["vram_limit"] is not None:
            values["vram_limit"] = round(values["vram_limit"] * GIB)
        seed = values["seed"].strip()
        values["seed"] = int(seed) if seed.isdecimal() else seed
        model = self.model()
        if model is None or model.task == "t2v":
            values["image"] = None
        return values

    def prompt(self) -> str:
        """The prompt as entered."""
        return str(self.inputs["prompt"].value)

    def set(self, prompt: str, options: Mapping[str, Any]) -> None:
        """Enter these values, as of an earlier run."""
        self._quiet = True
        try:
            self.inputs["model"].value = options["model"]
            self._take_defaults()
            self.inputs["prompt"].value = prompt
            for name, value in options.items():
                if name != "model" and name in self.inputs:
                    self._enter(name, value)
        finally:
            self._quiet = False
        self._changed()

    def _enter(self, name: str, value: Any) -> None:
        if name == "vram_limit":
            value = (value or 0) / GIB
        elif name == "seed":
            value = str(value)
        self.inputs[name].value = _EMPTY[name] if value is None else value

    def check(self, plan_error: str = "") -> str:
        """Show what is wrong beside its field; the first of it, or nothing.

        Args:
            plan_error: why there is no plan with the tier that is entered.
        """
        found = self._errors() or ({"tier": plan_error} if plan_error else {})
        for name, label in self.wrong.items():
            text = found.get(name, "")
            value = f'<span class="cogmagic-wrong" role="alert">{escape(text)}</span>' * bool(text)
            if label.value != value:
                label.value = value
        return next(iter(found.values()), "")

    def _look_up(self) -> Model | CogMagicError:
        """The model that is named, looked for once: it may be on the hub, or nowhere."""
        name = self.inputs["model"].value
        before, at, found = self._found
        fails = isinstance(found, CogMagicError)
        if name != before or (fails and time.monotonic() - at > _AGAIN):
            try:
                found = find_model(name)
            except CogMagicError as error:
                found = error
            self._found = (name, time.monotonic(), found)
        return found

    def _errors(self) -> dict[str, str]:
        model = self._look_up()
        if isinstance(model, CogMagicError):
            return {"model": str(model)}
        options = self.options()
        found, image = {}, {}
        groups = [("width", "height"), ("num_frames",), ("num_inference_steps",), ("seed",)]
        groups += [("guidance_scale",), ("negative_prompt",), ("scheduler",), ("dtype",), ("fps",)]
        if model.task == "i2v":
            groups.append(("image",))
            image = {"image": options["image"]}
            if image["image"] is None:
                found["image"] = f"{model.name} needs a first frame: upload one, or name it."
                image = {"image": _blank(model)}
        for names in groups:
            wish = image | {n: options[n] for n in names if options[n] is not None}
            said = _said(lambda wish=wish: Request.of("any", model, **wish))  # type: ignore[misc]
            if said:
                found.setdefault(names[-1], said)
        if said := _said(lambda: Machine.detect_hardware().only(gpu_names(options["gpus"]))):
            found["gpus"] = said
        limit = options["vram_limit"]
        if limit is not None and not 0.5 <= limit / GIB <= 4096:
            found["vram_limit"] = f"{limit / GIB:g} GiB: an amount from 0.5 to 4096, or 0 for all."
        if self._bad_upload and model.task == "i2v":
            found["image"] = self._bad_upload
        if not found and self.prompt().strip():
            said = _said(lambda: Request.of(self.prompt(), model, **image))
            found |= {"prompt": said} if said else {}
        return found

    def _take_upload(self, change: Any) -> None:
        """Give an uploaded picture a variable's name, which a cell can name as well."""
        if not change["new"]:
            return
        from PIL import Image, ImageOps

        data = change["new"][-1]["content"].tobytes()
        try:
            with Image.open(BytesIO(data)) as opened:
                picture = ImageOps.exif_transpose(opened).convert("RGB")
        except (OSError, RuntimeError, ValueError, Image.DecompressionBombError):
            self._bad_upload = "The uploaded file is not a picture. Upload another."
        else:
            self._bad_upload = ""
            names = ("first_frame", *(f"first_frame_{i}" for i in range(2, 1000)))
            name = next(n for n in names if n not in self.names)
            self.names[name] = picture
            self.inputs["image"].value = name
        self.upload.value = ()
        self._changed()

    def _on_change(self, change: Any) -> None:
        if self._quiet:
            return
        if change["owner"] is self.inputs["image"]:
            self._bad_upload = ""
        if change["owner"] is self.inputs["model"]:
            self._quiet = True
            try:
                self._take_defaults()
            finally:
                self._quiet = False
        self._changed()

    def _take_defaults(self) -> None:
        """What the model's authors use."""
        model = self.model()
        if model is None:
            return
        frames = self.inputs["num_frames"]
        frames.options = model.frames.legal()
        frames.value = model.frames.default
        for name in ("width", "height", "num_inference_steps", "guidance_scale", "scheduler"):
            self.inputs[name].value = getattr(model, name)
        self.inputs["fps"].value = model.fps
        self._show_first_frame()

    def _show_first_frame(self) -> None:
        model = self.model()
        if hasattr(self, "first_frame"):
            shown = model is not None and model.task == "i2v"
            self.first_frame.layout.display = "" if shown else "none"

    def _roll(self) -> None:
        self.inputs["seed"].value = _any_seed()


def _any_seed() -> str:
    return str(random.randrange(2**31))  # noqa: S311 - a picture's start


def _described(kind: Any, label: str, **options: Any) -> Any:
    """A field that tells of a change when it is left, or Enter is pressed, not of each key."""
    wide = w.Layout(width="auto")  # one for each: closing a panel closes it
    if kind is not w.Dropdown:
        options = {"continuous_update": False} | options
    return kind(description=label, style=_STYLE, layout=wide, **options)


def _said(check: Callable[[], Any]) -> str:
    try:
        check()
    except CogMagicError as error:
        return str(error)
    return ""


def _blank(model: Model) -> Any:
    from PIL import Image

    return Image.new("RGB", (model.width, model.height))
