"""Styles and layouts that many widgets share, so that few messages open and close the panel."""

from __future__ import annotations

from typing import Any

import ipywidgets as w

__all__ = ["auto_width", "make"]


_SHARED: dict[tuple[Any, ...], Any] = {}
"""Those made so far, by their class and what they were made with."""


def make(kind: Any, *args: Any, **traits: Any) -> Any:
    """A widget of that class, with a shared style and, unless it has its own, a shared layout.

    ipywidgets would send a style and a layout of its own for each widget, which the page keeps as
    two further models, closed by two further messages.
    """
    traits.setdefault("layout", _shared(w.Layout))
    if (style := kind.class_traits().get("style")) is not None:
        traits.setdefault("style", _shared(style.klass))
    return kind(*args, **traits)


def auto_width() -> Any:
    """The shared layout of widgets that are as wide as their place or their words."""
    return _shared(w.Layout, width="auto")


def _shared(kind: Any, **values: str) -> Any:
    """The one that is open; closing the panel closes it."""
    key = (kind, *values.items())
    if key not in _SHARED or _SHARED[key].comm is None:
        look = _SHARED[key] = kind(**values)
        look.observe(_refuse, [name for name in look.keys if not name.startswith("_")])
    return _SHARED[key]


def _refuse(change: Any) -> None:
    """Undo a change, which would have changed every widget with that look, and say so."""
    look, name = change["owner"], change["name"]
    look.unobserve(_refuse, name)
    setattr(look, name, change["old"])
    look.observe(_refuse, name)
    raise RuntimeError(
        f"This {type(look).__name__} is shared. Give the widget its own to change {name}."
    )
