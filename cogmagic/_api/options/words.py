"""Words of a magic's line, and their quotes."""

from __future__ import annotations

import re

from cogmagic._errors import RequestError

__all__ = [
    "loose_words",
    "quoted",
    "raw_words",
    "split_line",
    "split_list",
    "unquoted",
    "without_quotes",
]


_QUOTED = re.compile(
    r"""
    "[^"]*"
    | (?<!\w) ' [^']* (?: (?<=\w)'(?=\w) [^']* )* ' (?!\w)
    """,
    re.VERBOSE,
)
"""A text in quotes; an apostrophe between letters is part of it."""


_WORD = re.compile(rf"""(?: {_QUOTED.pattern} | (?<=\w)' | [^\s"'] )+""", re.VERBOSE)
"""A word with its quotes; an apostrophe after a letter, as in ``it's``, is part of it."""


_CURLY = frozenset("“‘„«")


_QUOTES = ('""', "''", "“”", "‘’", "„“", "«»")
"""Pairs of quotes, as keyboards, word processors and web pages write them."""


def raw_words(line: str) -> list[str]:
    """Words of a magic's line as they were typed, with their quotes.

    Raises:
        RequestError: when a quote is not closed, with the value quoted.
    """
    outside = _WORD.sub(lambda word: " " * len(word[0]), line)
    if not outside.strip():
        return _WORD.findall(line)
    at = len(outside) - len(outside.lstrip())
    flags = list(re.finditer(r"(?<!\S)(--?[A-Za-z][\w-]*)(?:=|\s+)", line[: at + 1]))
    if not flags:
        raise RequestError(f"A quote is not closed in: {line.strip()}")
    value = re.split(r"\s+(?=--[A-Za-z])", line[flags[-1].end() :])[0].strip()
    flag = flags[-1][1]
    raise RequestError(
        f"A quote is not closed in: {flag} {value}. Type {flag} {quoted(without_quotes(value))}"
    )


def loose_words(line: str) -> list[str]:
    """Words of `raw_words`; where a quote is not closed, those between spaces."""
    try:
        return raw_words(line)
    except RequestError:
        return line.split()


def split_line(line: str) -> list[str]:
    """Words of a magic's line: quotes group, backslashes stay (Windows paths).

    Raises:
        RequestError: when a quote is not closed, with the value quoted.
    """
    return [unquoted(word) for word in raw_words(line)]


def split_list(text: str) -> list[str]:
    """Words of a list, separated by commas or spaces: quotes group, also around a part of a word.

    Where a quote is not closed, it is part of its word.
    """
    parts = re.findall(rf"(?:{_QUOTED.pattern}|[^\s,])+|,", text, re.VERBOSE)
    return [unquoted(part) for part in parts if part != ","]


def unquoted(word: str) -> str:
    """A word of `raw_words` without its quotes."""
    plain = _QUOTED.sub(lambda text: text[0][1:-1], word)
    flag, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    curly = plain == word and value[:1] in _CURLY and len(value) > 1
    return f"{flag}{equals}{without_quotes(value)}" if curly else plain


def quoted(text: str) -> str:
    """`text` as one word of a magic's line."""
    if text and not any(c.isspace() or c in "\"'" or c in _CURLY for c in text):
        return text
    if '"' not in text:
        return f'"{text}"'
    return "'" + text.replace("'", "'\"'\"'") + "'"


def without_quotes(text: str) -> str:
    """`text` without the quotes around it, or without one that is not closed."""
    pair = next((pair for pair in _QUOTES if text.startswith(pair[0])), "")
    inner = text[1:].removesuffix(pair[1:])
    return text if not pair or re.search(rf"(?<!\w)[{pair}]|[{pair}](?!\w)", inner) else inner
