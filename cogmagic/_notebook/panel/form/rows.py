"""The rows of the form's fields, and their places; options that few need are folded away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import ipywidgets as w

from cogmagic._notebook.panel.form.inputs import HIDEABLE, switches
from cogmagic._notebook.panel.parts.looks import make
from cogmagic._notebook.panel.parts.page import in_row

__all__ = ["field_rows", "form", "prompts"]


_PROMPTS = ("prompt", "negative_prompt")


_INPUTS = ("model", "image", "video", "mask", "extend", "last_image")


_OF_INPUTS = ("strength", "start", "overlap", "fit", "invert_mask", "paste_back")


_GRID = (
    "width", "height", "num_frames", "num_inference_steps", "guidance_scale", "tier", "seed",
    "num_videos", "speed", "lora",
)  # fmt: skip


def field_rows(
    inputs: Mapping[str, Any], errors: Mapping[str, Any], beside: Mapping[str, list[Any]]
) -> dict[str, Any]:
    """The row of each field: its input, the widgets beside it, and its error."""
    rows = {}
    for name, field in inputs.items():
        own = {"layout": w.Layout()} if name in HIDEABLE else {}
        row = make(w.Box, [field, *beside.get(name, []), errors[name]], **own)
        row.add_class("cogmagic-field")
        row.add_class(in_row(name))
        rows[name] = row
    return rows


def form(rows: Mapping[str, Any], words: Mapping[str, Any]) -> Any:
    """The fields below the prompt; options that are rarely changed are folded away."""
    checkboxes = [name for name in switches() if name not in _OF_INPUTS]
    named = (*_PROMPTS, *_INPUTS, *_OF_INPUTS, *_GRID, *checkboxes)
    rest = [name for name in rows if name not in named]
    parts = [_grid(rows, rest), _grid(rows, checkboxes)]
    more = make(w.VBox, parts, layout=w.Layout(display="none"))
    more.add_class("cogmagic-folded")
    unfold = make(
        w.ToggleButton,
        description="More options",
        icon="caret-right",
        tooltip="show the options that few need",
    )
    unfold.add_class("cogmagic-unfold")

    def show(change: Any) -> None:
        more.layout.display = "" if change["new"] else "none"
        unfold.icon = "caret-down" if change["new"] else "caret-right"

    unfold.observe(show, "value")
    words["size"].add_class("cogmagic-size")
    inputs = [rows[name] for name in _INPUTS]
    uses, grid = _grid(rows, _OF_INPUTS), _grid(rows, _GRID)
    whole = make(w.VBox, [*inputs, uses, words["size"], grid, unfold, more])
    whole.add_class("cogmagic-form")
    return whole


def prompts(rows: Mapping[str, Any], aids: Iterable[Any], tokens: Any) -> Any:
    """The two prompts, with what helps to write the first."""
    prompt, negative = (rows[name] for name in _PROMPTS)
    tokens.add_class("cogmagic-tokens")
    below = make(w.Box, [*aids, tokens])
    below.add_class("cogmagic-below-prompt")
    box = make(w.VBox, [prompt, below, negative])
    box.add_class("cogmagic-form")
    return box


def _grid(rows: Mapping[str, Any], names: Iterable[str]) -> Any:
    grid = make(w.Box, [rows[name] for name in names])
    grid.add_class("cogmagic-grid")
    return grid
