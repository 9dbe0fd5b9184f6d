"""The verb `mask`: its line, and the canvas."""

from __future__ import annotations

from typing import Any

from cogmagic._api.options.option import Option
from cogmagic._api.options.parser import flags_of, parse_line, unknown_option
from cogmagic._api.options.words import loose_words, unquoted
from cogmagic._errors import RequestError
from cogmagic._notebook.masks import mask

__all__ = ["MASK_OPTIONS", "run_mask"]


_MAGIC = "%cogvideo mask"

_MASK = "Mask"


MASK_OPTIONS: tuple[Option, ...] = (
    Option("save", "file (.mp4) or folder; beside the clip by default", _MASK, "PATH", spaces=True),
    Option("out", "variable that receives the canvas, for --mask", _MASK, "NAME"),
)


def run_mask(kernel: Any, line: str) -> None:
    """Show the canvas for the clip that a line names.

    Raises:
        CogMagicError: for a line, a clip or a file that cannot be used, with what to type instead.
    """
    from IPython.display import display

    options, name = _split(line)
    is_variable = name.isidentifier() and name in kernel.shell.user_ns
    canvas = mask(kernel.shell.user_ns[name] if is_variable else name, options.get("save"))
    if "out" in options:
        kernel.shell.push({options["out"]: canvas})
    display(canvas)


def _split(line: str) -> tuple[dict[str, Any], str]:
    """The options of a line, and the clip: its path, which may have spaces, or a variable.

    Raises:
        RequestError: for no clip, and for an option that does not exist.
    """
    words, flags = loose_words(line), flags_of(MASK_OPTIONS)
    options, clip = list[str](), list[str]()
    while words:
        word = words.pop(0)
        if word.partition("=")[0] in flags:
            options += [word, *([words.pop(0)] if "=" not in word and words else [])]
        elif word.startswith("--") and word.strip("-"):
            raise RequestError(unknown_option(word, flags))
        else:
            clip.append(unquoted(word))
    if not clip:
        raise RequestError(f"{_MAGIC} needs a clip. Type {_MAGIC} clip.mp4, or a variable's name.")
    return parse_line(" ".join(options), _MAGIC, MASK_OPTIONS), " ".join(clip)
