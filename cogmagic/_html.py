"""HTML output under a cell: whether it is shown, and marks of what changes from run to run."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from html import escape

__all__ = [
    "MARK",
    "VOLATILE",
    "in_notebook",
    "lines_html",
    "volatile_bundle",
    "volatile_table",
    "volatile_text",
]


# Notebook tests strip both with one expression.
VOLATILE = "cogmagic-volatile"
"""CSS class of the one element that holds everything volatile."""


MARK = "[cogmagic] "
"""What every line of volatile plain text starts with."""


_UNBROKEN = r'<span style="display:inline-block;overflow-wrap:anywhere">\g<0></span>'
"""A word that goes to the next line as a whole, and is split only if it is longer than a line."""


def in_notebook() -> bool:
    """Whether this process is the kernel of a front end that shows HTML."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


def lines_html(text: str, warning: str = "") -> str:
    """A line of text, with the warning on the next; no word with hyphens is split at these."""
    shown = f"{text}\nwarning: {warning}" if warning else text
    return re.sub(r"\S*-\S*", _UNBROKEN, escape(shown)).replace("\n", "<br>")


def volatile_bundle(text: str, warning: str = "", *, failed: bool = False) -> dict[str, str]:
    """A line of volatile text as a MIME bundle, in the error colour if something failed.

    The warning, if any, is on a line of its own.
    """
    color = ' style="color:var(--jp-error-color1,#c00)"' if failed else ""
    below = f"\n{MARK}warning: {warning}" if warning else ""
    return {
        "text/html": f'<div class="{VOLATILE}"{color}>{lines_html(text, warning)}</div>',
        "text/plain": f"{MARK}{text}{below}",
    }


def volatile_table(head: Sequence[str], rows: Iterable[Sequence[str]], text: str) -> dict[str, str]:
    """A volatile table as a MIME bundle; in a narrow page it scrolls, and no line wraps.

    Args:
        head: the titles of the columns.
        rows: the cells of each row.
        text: the same as plain text.
    """
    lines = [_row("th", head), *(_row("td", row) for row in rows)]
    table = f'<table style="margin:0"><tbody>{"".join(lines)}</tbody></table>'
    html = f'<div class="{VOLATILE}" style="overflow-x:auto">{table}</div>'
    return volatile_text(text) | {"text/html": html}


def _row(tag: str, cells: Sequence[str]) -> str:
    style = ' style="text-align:left;white-space:nowrap"'
    return f"<tr>{''.join(f'<{tag}{style}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"


def volatile_text(text: str) -> dict[str, str]:
    """Preformatted volatile text as a MIME bundle."""
    return {
        "text/html": f'<div class="{VOLATILE}"><pre>{escape(text)}</pre></div>',
        "text/plain": "\n".join(f"{MARK}{line}" for line in text.splitlines()),
    }
