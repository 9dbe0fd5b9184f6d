"""Marks of output that changes from run to run."""

from __future__ import annotations

from html import escape

__all__ = ["MARK", "VOLATILE", "volatile_bundle"]


# Notebook tests strip both with one expression.
VOLATILE = "cogmagic-volatile"
"""CSS class of the one element that holds everything volatile."""


MARK = "[cogmagic] "
"""What every line of volatile plain text starts with."""


def volatile_bundle(text: str, *, failed: bool = False) -> dict[str, str]:
    """A line of volatile text as a MIME bundle, in the error colour if something failed."""
    color = ' style="color:var(--jp-error-color1,#c00)"' if failed else ""
    return {
        "text/html": f'<div class="{VOLATILE}"{color}>{escape(text)}</div>',
        "text/plain": MARK + text,
    }
