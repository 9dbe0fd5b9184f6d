"""What the form does with a clip: its settings again, a cell, its end as a new beginning."""

from __future__ import annotations

import os
from collections import OrderedDict, deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from traitlets import TraitError

from cogmagic._api.options.table import without_run_options
from cogmagic._errors import OutputError
from cogmagic._models.catalog import catalogued
from cogmagic._models.inputs import INPUTS
from cogmagic._notebook.cell_text import as_cell, changed_options
from cogmagic._notebook.panel.form.fields import Fields
from cogmagic._notebook.panel.form.inputs import USED_WITH, switches
from cogmagic._video.clip_settings import ClipSettings, clip_settings
from cogmagic._video.formats.base import readable
from cogmagic._video.formats.registry import FORMATS
from cogmagic._video.library import StoredClip
from cogmagic._video.video import Video

__all__ = ["FormUses"]


_EMPTY = {
    "tier": "auto", "speed": "exact", "negative_prompt": "", "cache": "", "attention": None,
    "dtype": None, "lora": None,
}  # fmt: skip
"""What the form shows where a clip's settings have nothing."""

_OF_ONE_CLIP = {"seed", "save", "overwrite", *INPUTS, *USED_WITH}
"""Options of a clip that do not apply to the one that extends it."""

_MOST_ENTERED = 200


class FormUses:
    """The uses of a clip by the panel's form.

    Args:
        fields: the form.
        configured: the kernel's own defaults, by the names of the options.
    """

    def __init__(self, fields: Fields, configured: Mapping[str, Any]) -> None:
        self._fields, self._configured = fields, configured
        self._entered: OrderedDict[Path, ClipSettings] = OrderedDict()

    def remember(self, video: Video, entered: Mapping[str, Any]) -> None:
        """Remember what was entered for a clip: its file has no names of variables and folders."""
        options = {**entered, "seed": video.seed}
        self._entered[video.path] = ClipSettings(video.prompt, options)
        while len(self._entered) > _MOST_ENTERED:
            self._entered.popitem(last=False)

    def enter(self, clip: StoredClip) -> str:
        """Enter the clip's settings; returns what the form could not take."""
        settings = self._settings(clip)
        self._enter(settings.prompt, settings.options)
        known = self._fields.inputs.keys()
        changed = changed_options(settings.options, self._configured)
        others = [f"--{n.replace('_', '-')}" for n, v in changed.items() if v and n not in known]
        missing = f"The file does not have {', '.join(settings.missing)}." * bool(settings.missing)
        no_field = f"The form has no field for {', '.join(others)}: copy the clip as a cell."
        return " ".join(["The settings are entered.", missing, no_field * bool(others)]).strip()

    def cell(self, clip: StoredClip) -> str:
        """The cell that makes the clip again, with the options that differ from the defaults."""
        settings = self._settings(clip)
        return as_cell(settings.prompt, changed_options(settings.options, self._configured))

    def extend(self, clip: StoredClip) -> str:
        """Enter the clip to extend, with a model that extends clips and a new seed."""
        model, settings, options = _image_model(clip), self._settings(clip), dict[str, Any]()
        if settings.options.get("model") == model:
            options = {n: v for n, v in settings.options.items() if n not in _OF_ONE_CLIP}
        path = Path(os.path.relpath(clip.path)) if _is_below(clip.path) else clip.path
        self._enter(settings.prompt, {**options, "model": model, "extend": str(path)})
        return f"Generate continues from the end of {path.name}, with model {model}."

    def as_first_frame(self, clip: StoredClip) -> str:
        """Enter the clip's last frame as a first frame, with a model that takes one."""
        from PIL import Image

        kind = FORMATS[f".{clip.video().format}"]
        with readable(clip.path):
            (last,) = deque(kind.each(clip.path), maxlen=1)
        fields, model = self._fields, self._fields.model()
        switched = ""
        if model is None or not model.takes("image"):
            name = _image_model(clip)
            fields.inputs["model"].value = name
            switched = f" The model is now {name}, which takes one."
        for other in ("extend", "video"):  # which exclude a first frame
            fields.inputs[other].value = ""
        name = fields.given.add("image", Image.fromarray(last))
        return f"The clip's last frame is the first frame, {name}.{switched}"

    def _enter(self, prompt: str, options: Mapping[str, Any]) -> None:
        try:
            self._fields.enter(prompt, {**_EMPTY, **dict.fromkeys(switches(), False), **options})
        except TraitError as error:
            raise OutputError(f"Not all settings could be entered: {error}") from None

    def _settings(self, clip: StoredClip) -> ClipSettings:
        entered = self._entered.get(clip.path)
        if entered is not None and entered.options.get("seed") == clip.facts.get("seed"):
            return entered
        made = clip_settings(clip.facts)
        return ClipSettings(made.prompt, without_run_options(dict(made.options)), made.missing)


def _image_model(clip: StoredClip) -> str:
    """The image-to-video model that is nearest to the clip's own."""
    name = str(clip.facts.get("model", ""))
    model = catalogued(name)
    if model is not None and model.takes("image"):
        return model.name
    return f"{name}-i2v" if catalogued(f"{name}-i2v") else "5b-i2v"


def _is_below(path: Path) -> bool:
    return path.is_relative_to(Path.cwd())
