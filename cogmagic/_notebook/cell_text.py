"""The ``%%cogvideo`` cell that repeats a run: options turned back into what one types."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from cogmagic._api.options.table import cell_options
from cogmagic._api.options.words import quoted
from cogmagic._errors import RequestError
from cogmagic._models.presets_file import find_preset
from cogmagic._units import GIB
from cogmagic._video.clip_settings import model_defaults

__all__ = ["as_cell", "changed_options"]


_BUILT_IN = {
    "tier": "auto", "policy": "auto", "speed": "exact", "keep": "warm", "parallel": 1,
    "strength": 0.8, "start": 0.0, "overlap": 1, "guidance_from": 0.0, "guidance_until": 1.0,
}  # fmt: skip
"""Values of options that no model determines."""


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
            text = ",".join(map(str, one)) if isinstance(one, tuple) else str(one)  # timesteps
            one_line = " ".join(text.splitlines())
            separator = "=" if one_line.startswith("-") else " "
            words.append(f"--{option.name}{separator}{_quoted(one_line)}")
    return " ".join(words) + "\n" + prompt


def changed_options(
    options: Mapping[str, Any], configured: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Those of `options` without which a cell makes another video, or makes it in another way.

    Args:
        options: all of them, by Python name; the model and the seed always stay.
        configured: the kernel's own defaults (``%config CogMagic``).
    """
    presets: Mapping[str, Any] = {}
    with suppress(RequestError):  # of a file that is gone
        presets = find_preset(options["preset"]).settings if options.get("preset") else {}
    fit = {"fit": "crop" if options.get("video") or options.get("extend") else "stretch"}
    defaults = {**_BUILT_IN, **fit, **model_defaults(options), **presets, **(configured or {})}
    changed = {n: v for n, v in options.items() if n == "model" or v != defaults.get(n)}
    if {"width", "height"} & changed.keys():  # which a cell has as one option
        changed |= {n: options[n] for n in ("width", "height") if n in options}
    return changed


def _quoted(word: str) -> str:
    """`word` as one word of a magic's line, which IPython expands before it is split.

    This cannot protect a ``$name`` with quotes around it: IPython expands it or not by the quotes.
    """
    return quoted(re.sub(r"[{}]|\$(?=[\w.])", lambda match: match[0] * 2, word))
