"""Checks of a ``%%cogvideo`` cell: a prompt on the first line, options or magics in the body."""

from __future__ import annotations

import re
import textwrap

from cogmagic._api.options import Option, cell_options
from cogmagic._api.parser import split_line
from cogmagic._errors import RequestError

__all__ = ["check_body", "check_first_line", "how_to_type", "shortened", "split_prompt"]


_EXAMPLE = "a red circle moves to the right on a black background"
"""A prompt for the embedded model."""


_MAX_SHOWN = 70
"""Most characters of a prompt in an error."""


_MAGIC = re.compile(r"\s*(%%\s*\w|!?%+\s*cogvideo)", re.I)
"""The beginning of a line of the body that is no prompt."""


_LONG_DASH = re.compile(r"[‐-―−][‐-―−-]?(?=[A-Za-z])")
"""A dash that a word processor or a web page made of two hyphens."""


def check_first_line(line: str) -> None:
    """Refuse a prompt after ``%%cogvideo``; options are checked by the parser.

    Raises:
        RequestError: with what to type instead.
    """
    options, prompt = split_prompt(line)
    if not prompt:
        return
    dashed = next((word for word in prompt.split() if _LONG_DASH.match(word)), None)
    if dashed is not None:
        raise RequestError(
            f"{dashed} begins with a long dash. Type two hyphens: {_LONG_DASH.sub('--', dashed)}"
        )
    raise RequestError(f"The prompt goes below the first line. {how_to_type(options, prompt)}")


def check_body(line: str, body: str) -> None:
    """Refuse a body without a prompt, and one with another magic or an option in it.

    Args:
        line: the options after ``%%cogvideo``.
        body: the rest of the cell.

    Raises:
        RequestError: with what to type instead.
    """
    if not body.strip():
        raise RequestError(f"The prompt is empty. {how_to_type(line, '')}")
    for text in filter(_MAGIC.match, body.splitlines()):
        raise RequestError(
            "A cell makes one video, and all lines below its first are the prompt."
            f" Move to a cell of its own: {shortened(text)}"
        )
    words, flags = body.split(), _flags()
    for word, following in zip(words, [*words[1:], ""], strict=True):
        option = flags.get(word.partition("=")[0])
        if option is not None and word.startswith("--"):
            moved, prompt = split_prompt(body)
            if not prompt:
                moved = f"{word} {following}" if option.metavar and "=" not in word else word
            raise RequestError(
                f"{word} is in the prompt, but options go on the first line."
                f" {how_to_type(f'{line.strip()} {moved}', prompt)}"
            )


def split_prompt(line: str) -> tuple[str, str]:
    """The options of a cell's first line, and the prompt on it; '' where it has none.

    A line with an unknown option, or with words after a value that may contain spaces, is returned
    whole: the parser explains both.
    """
    try:
        words = iter(split_line(line))
    except RequestError:  # an apostrophe, as in "a dog's life"
        words = iter(line.split())
    flags, options, prompt, open_value = _flags(), list[str](), list[str](), False
    for word in words:
        flag, equals, _ = word.partition("=")
        if not word.startswith("-"):
            if open_value:
                return line.strip(), ""
            prompt.append(word)
        elif flag not in flags:
            return line.strip(), ""
        else:
            options.append(word)
            if flags[flag].metavar and not equals:
                options += filter(None, [next(words, "")])
            open_value = flags[flag].spaces
    return " ".join(map(_quoted, options)), " ".join(prompt)


def how_to_type(options: str, prompt: str) -> str:
    """What to type for a video with these options: the first line, and the prompt below it."""
    first = f"%%cogvideo {options.strip()}".strip()
    return f"Type {first}, and on the line below: {shortened(prompt) or _EXAMPLE}"


def shortened(text: str) -> str:
    """`text` on one line, at most 70 characters of it."""
    return textwrap.shorten(text, _MAX_SHOWN, placeholder=" …")


def _quoted(word: str) -> str:
    if not set(word) & set(" \t\"'"):
        return word
    return f"'{word}'" if '"' in word else f'"{word}"'


def _flags() -> dict[str, Option]:
    return {flag: option for option in cell_options() for flag in option.flags}
