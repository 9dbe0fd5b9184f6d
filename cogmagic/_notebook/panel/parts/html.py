"""HTML in the panel's widgets: errors, and what has changed."""

from __future__ import annotations

from html import escape

import ipywidgets as w

from cogmagic._notebook.panel.parts.labels import panel_words

__all__ = ["error_html", "show_html"]


def error_html(text: str) -> str:
    """An error in the panel, announced by screen readers, with fields by their labels."""
    return f'<span class="cogmagic-error" role="alert">{escape(panel_words(text))}</span>'


def show_html(place: w.HTML, html: str) -> None:
    """Show `html` in that widget; nothing is sent to the page where nothing changes."""
    if place.value != html:
        place.value = html
