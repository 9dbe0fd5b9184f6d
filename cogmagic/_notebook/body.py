"""Checks of the body of a ``%%cogvideo`` cell, which is the prompt as it stands."""

from __future__ import annotations

import re

from cogmagic._api.options.parser import flags_of
from cogmagic._errors import RequestError
from cogmagic._models.other_tools import known_elsewhere
from cogmagic._notebook.dispatch import is_verb
from cogmagic._notebook.first_line import how_to_type, shortened, split_prompt
from cogmagic._notebook.manual import HELP_WORDS

__all__ = ["check_body"]


_MAGIC = re.compile(r"\s*[%％]+\s*cogvideo[?;]*(?:\s+(?P<rest>.*))?", re.I)
"""A line of the body that may be a second magic, and what follows the magic's name."""


_FLAG = r"--[A-Za-z][\w-]*(?:(?:=|\s+)(?:\"[^\"]*\"|'[^']*'|(?!--)\S+))?"


_OPTIONS = re.compile(rf"^[ \t]*{_FLAG}|(?<=\s){_FLAG}(?:[ \t]+{_FLAG})*[ \t]*$", re.M)
"""Options in a prompt: they begin a line or end it; dashes amid a sentence are prose."""


def check_body(line: str, body: str) -> None:
    """Refuse a body without a prompt, and one with another magic or an option in it.

    Args:
        line: the options after ``%%cogvideo``.
        body: the rest of the cell.

    Raises:
        RequestError: with what to type instead.
    """
    if not body.strip(" \t\r\n\"'"):
        raise RequestError(f"The prompt is empty. {how_to_type(line, '')}")
    for text in filter(_is_magic, body.splitlines()):
        raise RequestError(
            "All lines below the first of a cell are the prompt."
            f" Move to a cell of its own: {shortened(text)}"
        )
    words = " ".join(match[0] for match in _OPTIONS.finditer(body)).split()
    flags = flags_of()
    for word, following in zip(words, [*words, ""][1:], strict=True):
        if not re.match(r"--\w\w", word):  # one letter after dashes is prose
            continue
        name = word.partition("=")[0]
        option, elsewhere = flags.get(name), known_elsewhere(name)
        if option is None and not elsewhere:
            continue
        reason = f"{word} is in the prompt, but options go on the first line."
        if option is None:
            raise RequestError(reason + elsewhere)
        moved, prompt, unknown = split_prompt(body)
        if unknown or not prompt:
            moved = f"{word} {following}" if option.metavar and "=" not in word else word
        raise RequestError(f"{reason} {how_to_type(f'{line.strip()} {moved}', prompt)}")


def _is_magic(text: str) -> bool:
    """Whether a line of the body is a magic with a verb, an option or nothing; else it is prose."""
    match = _MAGIC.fullmatch(text)
    if match is None:
        return False
    rest = (match["rest"] or "").rstrip("; ")
    is_option = re.match(r"--?\w|\w+=", rest) is not None
    return not rest or is_option or rest in HELP_WORDS or is_verb(rest)
