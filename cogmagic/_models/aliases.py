"""Short names of a request's options, and the options that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cogmagic._errors import RequestError

__all__ = ["ALIASES", "full_names", "parse_size"]


ALIASES: dict[str, tuple[str, ...]] = {
    "steps": ("num_inference_steps",),
    "frames": ("num_frames",),
    "size": ("width", "height"),
}


def full_names(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with every alias replaced by what it stands for; None counts as left out.

    Raises:
        RequestError: for an alias beside its full name, and for a size that is none.
    """
    named = {name: value for name, value in options.items() if name not in ALIASES}
    for alias, names in ALIASES.items():
        value = options.get(alias)
        if value is None:
            continue
        for name in names:
            if named.get(name) is not None:
                raise RequestError(
                    f"{alias}={value!r:.40} and {name}={named[name]!r:.40} mean the same."
                    " Leave one of them out."
                )
        values = parse_size(value) if alias == "size" else (value,)
        named |= zip(names, values, strict=True)
    return named


def parse_size(size: object) -> tuple[int, int]:
    """Width and height in pixels of ``"720x480"``, ``"720×480"`` or ``(720, 480)``.

    Raises:
        RequestError: for anything else.
    """
    sides: list[object] = []
    if isinstance(size, str):
        words = size.lower().replace("×", "x").split("x")
        sides = [int(w) for w in words if w.strip().isdecimal()] if len(words) == 2 else []
    elif isinstance(size, tuple | list):
        sides = [s for s in size if isinstance(s, int) and not isinstance(s, bool)]
        sides = sides if len(sides) == len(size) else []
    if len(sides) != 2:
        raise RequestError(f"size={size!r:.80} is not a size like 720x480.")
    width, height = sides
    return int(str(width)), int(str(height))
