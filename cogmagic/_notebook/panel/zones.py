"""The panel's zones, its buttons, and the place of a run's progress."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import ipywidgets as w

from cogmagic._notebook.panel.parts.looks import make

__all__ = ["button_row", "buttons", "in_zones", "now", "zone"]


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
