"""Checks of the line of ``%%cogvideo``: a prompt on it, and options as other tools write them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cogmagic._api.options.option import Option
from cogmagic._api.options.parser import flags_of, spaced_value, unknown_option
from cogmagic._api.options.words import loose_words, without_quotes
from cogmagic._errors import RequestError
from cogmagic._models.aliases import SIZE_LIKE
from cogmagic._models.catalog import by_other_name, catalogued

__all__ = [
    "Line",
    "check_first_line",
    "check_stray",
    "how_to_type",
    "shortened",
    "split_prompt",
    "what_to_type",
]


_EXAMPLE = "a red circle moves to the right on a black background"
"""A prompt for the embedded model."""


_MAX_SHOWN = 70
"""Most characters of a prompt in an error."""


_MAGIC = re.compile(r"!?%+\s*cogvideo|%%\s*\w", re.I)
"""The beginning of a second magic on the line."""


_DASHES = "-‐-―−－"


_LONG_DASH = re.compile(r"[‐-―−－][‐-―−－-]?(?=[A-Za-z])")
"""A dash that a word processor or a web page made of two hyphens."""


_SEPARATOR = re.compile(r"\s*[;,|&]+\s*(?=--?[a-z]|$)", re.I)
"""A sign between two options, or after the last."""


_VALUE = r"(?P<value>\"[^\"]*\"|'[^']*'|[^\s,]+(?:,[^\s,]+)*),?(?=\s|$)"
"""A value in a list of options; the comma after it is not part of it."""


class Line(NamedTuple):
    """The words of a magic's line, as they were typed."""

    options: str
    """The options with their values."""
    prompt: str
    """The other words; '' without any."""
    unknown: str = ""
    """The first option that does not exist; neither it nor what follows is in `options`."""


def check_first_line(line: str, body: str = "") -> None:
    """Refuse a prompt after ``%%cogvideo``; options are checked by the parser.

    Raises:
        RequestError: with what to type instead.
    """
    typed = check_stray("%%cogvideo", line, no_prompt=bool(body.strip()))
    if not typed.prompt:
        return
    if body.strip() and (flag := _last_option(line, typed.prompt)):
        is_number = flags_of()[flag].kind in (int, float)
        quote = f'Quote a value with spaces: {flag} "VALUE".'
        raise RequestError(
            f"{shortened(typed.prompt)} follows the value of {flag}."
            f" {'It takes one number.' if is_number else quote}"
            " The prompt goes below the first line."
        )
    prompt = without_quotes(re.sub(r"^prompt\s*[=:]\s*", "", typed.prompt))
    how = what_to_type(typed._replace(prompt=f"{prompt} {body}".strip()))
    raise RequestError(how if typed.unknown else f"The prompt goes below the first line. {how}")


def _last_option(line: str, prompt: str) -> str:
    """The option whose value these last words of a line follow; '' where they follow none."""
    before = line.strip().removesuffix(prompt).split() if line.strip().endswith(prompt) else []
    option = flags_of().get(before[-2]) if len(before) > 1 else None
    return before[-2] if option and option.metavar else ""


def check_stray(
    magic: str, line: str, table: Sequence[Option] = (), *, no_prompt: bool = False
) -> Line:
    """The options and the prompt of a line, whose other words are refused.

    Args:
        magic: what the line follows.
        line: the words after the magic.
        table: the options that the magic takes; those of a cell by default.
        no_prompt: whether the line cannot have a prompt, because the body has it.

    Raises:
        RequestError: for words that are neither an option nor a prompt, with what to type instead.
    """
    spaced = _SEPARATOR.sub(" ", line).strip()
    if spaced != line.strip() and not re.search(r"[\"']", line):
        raise RequestError(f"Spaces separate options. Type {magic} {spaced}")
    typed = split_prompt(line, table)
    words = typed.prompt.removeprefix("-- ")
    if not words:
        return typed
    flags = flags_of(table)
    if error := spaced_value(line, flags, no_prompt=no_prompt):
        raise RequestError(error)
    if re.fullmatch(rf"[{_DASHES}\s]+", words):
        see = f"{magic.replace('%%', '%')} --help"
        raise RequestError(f"{words} is not an option. For all options, type {see}")
    _check_words(words, flags)
    first = f"{magic} {typed.options}".strip()
    if given := _with_hyphens(words, flags):
        moved = split_prompt(given, table)
        below = f", and on the line below: {shortened(moved.prompt)}" if moved.prompt else ""
        raise RequestError(f"Options begin with two hyphens. Type {first} {moved.options}{below}")
    if model := catalogued(words.lower()) or by_other_name(words):
        raise RequestError(f"{words} is a model. Type {first} --model {model.name}")
    return typed._replace(prompt=words)


def _check_words(words: str, flags: Mapping[str, Option]) -> None:
    """Refuse long dashes, a second magic, a comment and a backslash between the options."""
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


def _with_hyphens(words: str, flags: Mapping[str, Option]) -> str:
    """Words that begin with options without hyphens, ``seed=7``, with hyphens; '' for others."""
    names = "|".join(flag[2:].replace("-", "[-_]") for flag in flags if flag[:2] == "--")
    sizes = rf"(?<!\S)(size\s*[=:]?\s*){SIZE_LIKE.pattern}"
    words = re.sub(sizes, r"\g<1>\g<2>x\g<4>", words, flags=re.I)
    given = re.sub(
        rf"(?<!\S)(?:[{_DASHES}]+\s+)?(?P<name>{names})(?:\s*[=:]\s*|\s+(?=\d)){_VALUE}",
        lambda match: f"--{match['name'].replace('_', '-').lower()} {match['value']}",
        words,
        flags=re.I,
    )
    return given if given.startswith("--") else ""


def split_prompt(line: str, table: Sequence[Option] = ()) -> Line:
    """The options of a cell's first line, and the prompt on it.

    The whole line counts as options where a value is missing, and where words follow a value that
    may contain spaces: the parser explains both.
    """
    words = iter(loose_words(line))
    flags, options, prompt, open_value = flags_of(table), list[str](), list[str](), False
    whole = Line(line.strip(), "")
    for word in words:
        flag, equals, _ = word.partition("=")
        if not word.strip("-") or not word.startswith("-"):
            if open_value:
                return whole
            prompt.append(word)
        elif flag not in flags:
            return Line(" ".join(options), without_quotes(" ".join(prompt)), flag)
        else:
            options.append(word)
            if flags[flag].metavar and not equals:
                value = next(words, "")
                if not value or value.partition("=")[0] in flags:  # the value is missing
                    return whole
                options.append(value)
            open_value = flags[flag].spaces
    return Line(" ".join(options), without_quotes(" ".join(prompt)))


def what_to_type(typed: Line) -> str:
    """What to type for a line with these words: the cell, or another option than an unknown one."""
    if not typed.unknown:
        return how_to_type(typed.options, typed.prompt)
    place = f" The prompt goes below the first line: {shortened(typed.prompt)}"
    return unknown_option(typed.unknown, flags_of()) + (
        place if typed.prompt else " All options: %cogvideo --help"
    )


def how_to_type(options: str, prompt: str) -> str:
    """What to type for a video with these options: the first line, and the prompt below it."""
    first = f"%%cogvideo {options.strip()}".strip()
    return f"Type {first}, and on the line below: {shortened(prompt) or _EXAMPLE}"


def shortened(text: str) -> str:
    """`text` on one line, at most 70 characters of it."""
    return textwrap.shorten(text, _MAX_SHOWN, placeholder=" …")
