"""Short names of a request's options, and the options that they stand for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cogmagic._errors import RequestError

__all__ = ["ALIASES", "SIZE_LIKE", "full_names", "parse_size", "size_like"]


ALIASES: dict[str, tuple[str, ...]] = {
    "steps": ("num_inference_steps",),
    "frames": ("num_frames",),
    "size": ("width", "height"),
}


def full_names(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with every alias replaced by what it stands for; None counts as left out.

    Raises:
        RequestError: for an alias beside its full name, and for a malformed size.
    """
    named = {name: value for name, value in options.items() if name not in ALIASES}
    for alias, names in ALIASES.items():
        value = options.get(alias)
        if value is None:
            continue
        for name in names:
            if named.get(name) is not None:
                raise RequestError(
                    f"{alias}={value!r:.40} stands for {' and '.join(names)}, but"
                    f" {name}={named[name]!r:.40} is given as well. Leave one of them out."
                )
        values = parse_size(value) if alias == "size" else (value,)
        named |= zip(names, values, strict=True)
    return named


def parse_size(size: object, option: str = "size=") -> tuple[int, int]:
    """Width and height in pixels of ``"720x480"``, ``"720×480"`` or ``(720, 480)``.

    Args:
        size: the text or the pair.
        option: the option as it is typed, for the error.

    Raises:
        RequestError: for anything else.
    """
    if isinstance(size, str):
        width, _, height = (s.strip() for s in size.lower().replace("×", "x").partition("x"))
        if all(s.isdecimal() and len(s) < 10 for s in (width, height)):
            return int(width), int(height)
    elif isinstance(size, tuple | list) and len(size) == 2 and all(type(s) is int for s in size):
        return size[0], size[1]
    typed, quote = (option, '"') if option.endswith("=") else (f"{option} ", "")
    like = size_like(size) if isinstance(size, str) else ""
    raise RequestError(
        f"{typed}{size!r:.80} is not a size. Type {typed}{quote}{like}{quote}"
        if like
        else f"{typed}{size!r:.80} is not a size like 720x480."
    )


SIZE_LIKE = re.compile(
    r"\W*(\d{2,5})(?:px)?(?:\s*([x×*,:;/]|by)\s*|\s+)(\d{2,5})(?:px)?(?!\w)", re.I
)
"""Two sides as people write them: ``720*480``, ``(720, 480)``, ``720 by 480``."""


def size_like(text: str) -> str:
    """The size as it should be typed, ``720x480``, for a text that begins like one, or ''."""
    match = SIZE_LIKE.match(text)
    return f"{match[1]}x{match[3]}" if match else ""
