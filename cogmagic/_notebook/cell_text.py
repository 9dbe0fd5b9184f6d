"""A run as the cell that makes it again: the way back from options to what one types."""

from __future__ import annotations

import re
from typing import Any

from cogmagic._api.options import OPTIONS
from cogmagic._units import GIB

__all__ = ["as_cell"]


def as_cell(prompt: str, options: dict[str, Any]) -> str:
    """The ``%%cogvideo`` cell for these options, by Python name; None and False are left out."""
    given = dict(options)
    if {"width", "height"} <= given.keys():
        given["size"] = f"{given.pop('width')}x{given.pop('height')}"
    if given.get("vram_limit"):
        given["vram_limit"] = f"{given['vram_limit'] / GIB:g}"
    words = ["%%cogvideo"]
    for option in OPTIONS:
        value = given.get(option.dest)
        if value is None or value is False or value == "":
            continue
        if value is True:
            words.append(f"--{option.name}")
        else:  # a value that begins with a dash would be taken for an option
            between = "=" if str(value).startswith("-") else " "
            one_line = " ".join(str(value).splitlines())  # a cell's options are its first line
            words.append(f"--{option.name}{between}{_quoted(one_line)}")
    return " ".join(words) + "\n" + prompt


def _quoted(word: str) -> str:
    """`word` as one word of a magic's line, which IPython expands before it is split.

    A ``$name`` with quotes about it is beyond this: whether IPython expands it depends on them.
    """
    word = re.sub(r"[{}]|\$(?=[\w.])", lambda sign: sign[0] * 2, word)
    if word and not set(word) & set(" \t\"'"):
        return word
    if '"' not in word:
        return f'"{word}"'
    return "'" + word.replace("'", "'\"'\"'") + "'"
