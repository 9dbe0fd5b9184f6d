"""The places of the panel's parts: fields in rows, options folded away, and the zones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import ipywidgets as w

from cogmagic._notebook.panel.inputs import HIDEABLE, switches
from cogmagic._notebook.panel.looks import make
from cogmagic._notebook.panel.page import in_row

__all__ = ["button_row", "buttons", "field_rows", "form", "in_zones", "now", "prompts", "zone"]


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


def zone(name: str, title: str, parts: Iterable[Any]) -> Any:
    """One of the panel's three zones, with its heading."""
    box = make(w.VBox, [make(w.HTML, f'<h3 class="cogmagic-title">{title}</h3>'), *parts])
    box.add_class("cogmagic-zone")
    box.add_class(f"cogmagic-{name}")
    return box


def in_zones(zones: Iterable[Any]) -> Any:
    """The zones beside each other, or in one column where the panel is narrow."""
    box = make(w.VBox, list(zones))
    box.add_class("cogmagic-zones")
    return box


def button_row(*buttons: Any) -> Any:
    """Buttons beside each other."""
    row = make(w.HBox, buttons)
    row.add_class("cogmagic-buttons")
    return row


def now(*parts: Any) -> Any:
    """What Generate does or would do, in a place of fixed height: nothing below it moves."""
    box = make(w.VBox, parts)
    box.add_class("cogmagic-now")
    return box


def buttons() -> tuple[Any, Any, Any]:
    """The buttons that generate, cancel and release."""
    generate = make(w.Button, description="Generate", button_style="primary", icon="play")
    generate.add_class("cogmagic-generate")
    stop = "stop the run within a block of the transformer; the queue goes on with the next"
    cancel = make(w.Button, description="Cancel", icon="stop", disabled=True, tooltip=stop)
    free = "free the weights, and list what still holds VRAM"
    return generate, cancel, make(w.Button, description="Release", icon="eject", tooltip=free)
