"""How output that changes from run to run is marked."""

from __future__ import annotations

from html import escape

__all__ = ["MARK", "VOLATILE", "volatile_bundle"]


# What changes from run to run sits in one element of this class (and plain text starts with MARK),
# so that a notebook test can strip it with one expression.
VOLATILE = "cogmagic-volatile"


MARK = "[cogmagic] "


def volatile_bundle(text: str, *, failed: bool = False) -> dict[str, str]:
    """A line of volatile text, for a display."""
    color = ' style="color:var(--jp-error-color1,#c00)"' if failed else ""
    return {
        "text/html": f'<div class="{VOLATILE}"{color}>{escape(text)}</div>',
        "text/plain": MARK + text,
    }
