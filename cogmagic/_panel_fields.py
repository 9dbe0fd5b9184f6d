"""The inputs of the panel, one for each option of the cell, and what is wrong with each."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from html import escape
from io import BytesIO
from typing import Any

import ipywidgets as w

from cogmagic._catalog import DTYPES, MODELS, SCHEDULERS, Model
from cogmagic._checkpoint import find_model
from cogmagic._checks import KEEPS
from cogmagic._errors import CogMagicError, RequestError
from cogmagic._gpu import GIB
from cogmagic._machine import Machine
from cogmagic._options import OPTIONS
from cogmagic._placement import TIERS
from cogmagic._request import Request
from cogmagic._selected import gpu_names

__all__ = ["Fields"]

_HELP = {option.dest: option.help for option in OPTIONS}
_SWITCHES = ("compile", "lean_decode", "guidance_halves", "fp8", "truncate", "overwrite")
_STYLE = {"description_width": "8em"}


class Fields:
    """The inputs, and their values as the options of `cogmagic.generate`.

    Args:
        changed: called after a change by the person.
        names: the user's variables, for the first frame.
    """

    def __init__(self, changed: Callable[[], None], names: Mapping[str, Any]) -> None:
        self._changed, self._names, self._quiet = changed, names, False
        self.inputs: dict[str, Any] = {
            "prompt": _described(w.Textarea, "Prompt", rows=3),
            "model": _described(w.Combobox, "Model", options=[m.name for m in MODELS]),
            "width": _described(w.BoundedIntText, "Width", step=16, min=16, max=4096),
            "height": _described(w.BoundedIntText, "Height", step=16, min=16, max=4096),
            "num_frames": _described(w.Dropdown, "Frames"),
            "num_inference_steps": _described(w.BoundedIntText, "Steps", min=1, max=1000),
            "guidance_scale": _described(w.BoundedFloatText, "Guidance", min=1, max=20, step=0.5),
            "seed": _described(w.BoundedIntText, "Seed", min=0, max=2**31 - 1),
            "tier": _described(w.Dropdown, "Tier", options=("auto", *TIERS)),
            "negative_prompt": _described(w.Textarea, "Negative prompt", rows=2),
            "scheduler": _described(w.Dropdown, "Scheduler", options=SCHEDULERS),
            "dtype": _described(w.Dropdown, "Precision", options=("the model's", *DTYPES)),
            "fps": _described(w.BoundedIntText, "Frames a second", min=1, max=60),
            "policy": _described(w.Dropdown, "Policy", options=("auto", "rule")),
            "vram_limit": _described(w.BoundedFloatText, "VRAM limit (GiB)", max=4096, step=0.5),
            "gpus": _described(w.Text, "GPUs", placeholder="all; or by index or UUID, as 0,2"),
            "keep": _described(w.Dropdown, "Keep", options=KEEPS, value="warm"),
            "save": _described(w.Text, "Save to", placeholder="file.mp4 or folder"),
            "image": _described(w.Text, "First frame", placeholder="path or variable"),
        }
        for name in _SWITCHES:
            self.inputs[name] = w.Checkbox(description=name.replace("_", " "), indent=False)
        self.upload = w.FileUpload(accept="image/*", description="Upload a first frame")
        self.die = w.Button(description="New seed", icon="random", tooltip="a random seed")
        self.die.on_click(lambda _: self._roll())
        self.wrong = {name: w.HTML() for name in self.inputs}
        self.inputs["seed"].value = random.randrange(2**31)  # noqa: S311 - a picture's start
        self.inputs["model"].value = "tiny"
        self._take_defaults()
        for name, field in self.inputs.items():
            field.tooltip = _HELP.get(name, "")
            field.observe(self._on_change, "value")
        self.upload.observe(self._on_change, "value")

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
        try:
            return find_model(self.inputs["model"].value)
        except CogMagicError:
            return None

    def options(self) -> dict[str, Any]:
        """What is entered, as options of `generate`, without the prompt."""
        values = {name: field.value for name, field in self.inputs.items() if name != "prompt"}
        values["vram_limit"] = round(values["vram_limit"] * GIB) or None
        values["dtype"] = None if values["dtype"] == "the model's" else values["dtype"]
        values |= {name: values[name] or None for name in ("save", "gpus")}
        values["image"] = self._image(values["image"])
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
                if name in {"model", "image"} or name not in self.inputs:
                    continue
                if name == "vram_limit":
                    value = (value or 0) / GIB
                elif name == "dtype":
                    value = value or "the model's"
                self.inputs[name].value = (
                    "" if name in ("save", "gpus") and value is None else value
                )
        finally:
            self._quiet = False
        self._changed()

    def check(self) -> str:
        """Show what is wrong beside its field; the first of it, or nothing."""
        found = self._errors()
        for name, label in self.wrong.items():
            text = found.get(name, "")
            value = f'<span class="cogmagic-wrong" role="alert">{escape(text)}</span>' * bool(text)
            if label.value != value:
                label.value = value
        return next(iter(found.values()), "")

    def _errors(self) -> dict[str, str]:
        model = self.model()
        if model is None:
            return {"model": _said(lambda: find_model(self.inputs["model"].value))}
        options = self.options()
        image = {"image": options["image"]} if model.task == "i2v" else {}
        found = {}
        groups = [("width", "height"), ("num_frames",), ("num_inference_steps",), ("seed",)]
        groups += [("guidance_scale",), ("negative_prompt",), ("scheduler",), ("dtype",), ("fps",)]
        if model.task == "i2v":
            groups.append(("image",))
            if image["image"] is None:
                found["image"] = f"{model.name} needs a first frame: upload one, or name it."
                image = {"image": _blank(model)}
        for names in groups:
            wish = image | {n: options[n] for n in names if options[n] is not None}
            said = _said(lambda wish=wish: Request.of("any", model, **wish))  # type: ignore[misc]
            if said:
                found.setdefault(names[-1], said)
        if said := _said(lambda: Machine._detect().only(gpu_names(options["gpus"]))):
            found["gpus"] = said
        if not found and self.prompt().strip():
            said = _said(lambda: Request.of(self.prompt(), model, **image))
            found |= {"prompt": said} if said else {}
        return found

    def _image(self, name: str) -> Any:
        if self.upload.value:
            from PIL import Image

            data = self.upload.value[-1]["content"].tobytes()
            try:
                return Image.open(BytesIO(data)).convert("RGB")
            except OSError:
                raise RequestError("The uploaded file is not a picture. Upload another.") from None
        return self._names.get(name, name) if name else None

    def _on_change(self, change: Any) -> None:
        if self._quiet:
            return
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
        self.inputs["seed"].value = random.randrange(2**31)  # noqa: S311


def _described(kind: Any, label: str, **options: Any) -> Any:
    wide = w.Layout(width="auto")  # one for each: closing a panel closes it
    return kind(description=label, style=_STYLE, layout=wide, continuous_update=True, **options)


def _said(check: Callable[[], Any]) -> str:
    try:
        check()
    except CogMagicError as error:
        return str(error)
    return ""


def _blank(model: Model) -> Any:
    from PIL import Image

    return Image.new("RGB", (model.width, model.height))
