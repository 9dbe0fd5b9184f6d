"""Checks of a ``%%cogvideo`` cell: a prompt on the first line, options or magics in the body."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from cogmagic._api.options import Option, cell_options
from cogmagic._api.parser import split_line
from cogmagic._errors import RequestError
from cogmagic._models.catalog import MODELS
from cogmagic._models.other_tools import known_elsewhere

__all__ = [
    "check_body",
    "check_first_line",
    "check_stray",
    "how_to_type",
    "shortened",
    "split_prompt",
]


_EXAMPLE = "a red circle moves to the right on a black background"
"""A prompt for the embedded model."""


_MAX_SHOWN = 70
"""Most characters of a prompt in an error."""


_MAGIC = re.compile(r"\s*(%%\s*\w|!?%+\s*cogvideo)", re.I)
"""The beginning of a line of the body that is not part of a prompt."""


_FLAG = r"--[A-Za-z][\w-]*(?:(?:=|\s+)(?:\"[^\"]*\"|'[^']*'|(?!--)\S+))?"


_OPTIONS = re.compile(rf"^[ \t]*{_FLAG}|(?<=\s){_FLAG}(?:[ \t]+{_FLAG})*[ \t]*$", re.M)
"""Options in a prompt: they begin a line or end it; dashes amid a sentence are prose."""


_LONG_DASH = re.compile(r"[‐-―−－][‐-―−－-]?(?=[A-Za-z])")
"""A dash that a word processor or a web page made of two hyphens."""


def check_first_line(line: str, body: str = "") -> None:
    """Refuse a prompt after ``%%cogvideo``; options are checked by the parser.

    Raises:
        RequestError: with what to type instead.
    """
    options, prompt = split_prompt(line)
    if prompt:
        check_stray(f"%%cogvideo {options}".strip(), prompt)
        prompt = re.sub(r"^prompt\s*[=:]\s*", "", prompt).strip('"')
        if body.strip() and (option := _last_option(line, prompt)):
            raise RequestError(
                f"{shortened(prompt)} follows the value of {option}. Quote a value with spaces:"
                f' {option} "VALUE". The prompt goes below the first line.'
            )
        how = how_to_type(options, f"{prompt} {body}".strip())
        raise RequestError(f"The prompt goes below the first line. {how}")


def _last_option(line: str, prompt: str) -> str:
    """The option whose value these last words of a line follow; '' where they follow none."""
    before = line.strip().removesuffix(prompt).split() if line.strip().endswith(prompt) else []
    option = _flags().get(before[-2]) if len(before) > 1 else None
    return before[-2] if option and option.metavar else ""


def check_stray(typed: str, words: str, table: Sequence[Option] = ()) -> None:
    """Refuse words between options that are neither options nor a prompt.

    Args:
        typed: the magic and its options.
        words: the rest of the line.
        table: the options that the magic takes; those of a cell by default.

    Raises:
        RequestError: with what to type instead.
    """
    flags = _flags(table)
    for word in filter(_LONG_DASH.match, words.split()):
        hyphened = _LONG_DASH.sub("--", word, count=1)
        if hyphened.partition("=")[0] in flags:
            raise RequestError(f"{word} begins with a long dash. Type two hyphens: {hyphened}")
    if _MAGIC.match(words):
        raise RequestError(f"A line takes one magic. Leave out the second: {words.split()[0]}")
    if words.startswith("#"):
        raise RequestError(f"A comment cannot follow the options. Delete it: {shortened(words)}")
    if words.endswith("\\"):
        raise RequestError("A backslash does not continue the line. Put all options on one line.")
    names = "|".join(flag[2:] for flag in flags if flag.startswith("--"))
    typed_options = re.sub(r",(?=\s|$)", "", words.replace("_", "-"))
    given, count = re.subn(rf"(?<!\S)({names})(\s*[=:]\s*|\s+(?=\d))", r"--\1 ", typed_options)
    if count and given.startswith("--"):
        moved, prompt = split_prompt(given, table)
        below = f", and on the line below: {shortened(prompt)}" if prompt else ""
        raise RequestError(f"Options begin with two hyphens. Type {typed} {moved}{below}")
    model = next((m.name for m in MODELS if m.name == words.lower()), None)
    if model is not None:
        raise RequestError(f"{words} is a model. Type {typed} --model {model}")


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
    for text in filter(_MAGIC.match, body.splitlines()):
        raise RequestError(
            "A cell makes one video, and all lines below its first are the prompt."
            f" Move to a cell of its own: {shortened(text)}"
        )
    words = " ".join(match[0] for match in _OPTIONS.finditer(body)).split()
    flags = _flags()
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
        moved, prompt = split_prompt(body)
        if not prompt:
            moved = f"{word} {following}" if option.metavar and "=" not in word else word
        raise RequestError(f"{reason} {how_to_type(f'{line.strip()} {moved}', prompt)}")


def split_prompt(line: str, table: Sequence[Option] = ()) -> tuple[str, str]:
    """The options of a cell's first line, and the prompt on it; '' where it has none.

    A line with an unknown option, or with words after a value that may contain spaces, is returned
    whole: the parser explains both.
    """
    try:
        words = iter(split_line(line))
    except RequestError:  # an apostrophe, as in "a dog's life"
        words = iter(line.split())
    flags, options, prompt, open_value = _flags(table), list[str](), list[str](), False
    for word in words:
        flag, equals, _ = word.partition("=")
        if not word.strip("-") or not word.startswith("-"):
            if open_value:
                return line.strip(), ""
            prompt.append(word)
        elif flag not in flags:
            return line.strip(), ""
        else:
            options.append(word)
            if flags[flag].metavar and not equals:
                value = next(words, "")
                if value.partition("=")[0] in flags:  # the value is missing
                    return line.strip(), ""
                options += filter(None, [value])
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


def _flags(table: Sequence[Option] = ()) -> dict[str, Option]:
    return {flag: option for option in table or cell_options() for flag in option.flags}
