"""The ``%%cogvideo`` cell that repeats a run: options turned back into what one types."""

from __future__ import annotations

import re
from typing import Any

from cogmagic._api.options import cell_options
from cogmagic._api.words import quoted
from cogmagic._units import GIB

__all__ = ["as_cell"]


def as_cell(prompt: str, options: dict[str, Any]) -> str:
    """The ``%%cogvideo`` cell for options by Python name; None, False and "" are left out."""
    given = dict(options)
    if {"width", "height"} <= given.keys():
        given["size"] = f"{given.pop('width')}x{given.pop('height')}"
    if given.get("vram_limit"):
        given["vram_limit"] = f"{given['vram_limit'] / GIB:g}"
    words = ["%%cogvideo"]
    for option in cell_options():
        value = given.get(option.dest)
        if value is None or value is False or value == "":
            continue
        if value is True:
            words.append(f"--{option.name}")
            continue
        for one in value if option.multiple and not isinstance(value, str) else (value,):
            # Options stand on the first line of a cell, and argparse takes a value that begins
            # with a dash for an option.
            one_line = " ".join(str(one).splitlines())
            separator = "=" if one_line.startswith("-") else " "
            words.append(f"--{option.name}{separator}{_quoted(one_line)}")
    return " ".join(words) + "\n" + prompt


def _quoted(word: str) -> str:
    """`word` as one word of a magic's line, which IPython expands before it is split.

    This cannot protect a ``$name`` with quotes around it: IPython expands it or not by the quotes.
    """
    return quoted(re.sub(r"[{}]|\$(?=[\w.])", lambda match: match[0] * 2, word))
