"""Shared styles and layouts: few models of the page, which closing the panel closes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import ipywidgets as w
import pytest

from cogmagic._notebook.panel.parts.looks import auto_width, make
from cogmagic._notebook.panel.widget import Panel, close_panel, the_panel


def test_panel_has_one_style_of_a_kind_and_few_layouts(panel: Panel) -> None:
    widgets = list(_parts(panel.view))
    looks = {id(look): look for one in widgets for look in _looks(one)}
    styles = Counter(type(look) for look in looks.values() if not isinstance(look, w.Layout))
    assert len(styles) > 5
    assert set(styles.values()) == {1}
    assert len(looks) < len(widgets) / 4


def test_closing_closes_all_and_the_next_panel_has_open_ones(panel: Panel) -> None:
    widgets = list(_parts(panel.view))
    looks = [look for one in widgets for look in _looks(one)]
    assert all(part.comm for part in (*widgets, *looks))
    close_panel()
    assert not any(part.comm for part in (*widgets, *looks))
    again = list(_parts(the_panel({}).view))
    assert all(part.comm for one in again for part in (one, *_looks(one)))


def test_shared_looks_are_not_changed() -> None:
    button = make(w.Button, layout=auto_width())
    for _ in range(2):
        with pytest.raises(RuntimeError, match="This Layout is shared"):
            button.layout.display = "none"
        assert button.layout.display is None
    with pytest.raises(RuntimeError, match="This ButtonStyle is shared"):
        button.style.button_color = "red"
    assert make(w.Button).style.button_color is None
    own = make(w.Button, layout=w.Layout())
    own.layout.display = "none"
    assert own.style is button.style


def _parts(widget: Any) -> Iterator[Any]:
    yield widget
    for part in getattr(widget, "children", ()):
        yield from _parts(part)


def _looks(widget: Any) -> list[Any]:
    names = ("layout", "style")
    return [getattr(widget, name) for name in names if hasattr(widget, name)]
