"""Text without what a person would not publish: secrets, names, paths, addresses."""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["redacted"]


_SECRET_NAME = re.compile(
    r"TOKEN(?!IZERS)|SECRET|PASS|CREDENTIAL|API_?KEY|_KEY(_ID)?$|AUTH|COOKIE", re.I
)
"""Names of environment variables whose values are secrets."""


_SHORTEST = 3
"""Names and values of fewer characters are left: they are parts of too many words."""


_WORD = r"[^\s/:;,()\"]+"
"""A word of a folder's name, which may have up to three."""


_PATTERNS = (
    (r"\b(hf|api|sk|r8|gh[a-z]|github_pat|glpat)[-_][A-Za-z0-9_-]{8,}", "***"),
    (r"(?<=://)(?:\S*@)?[\w.-]+(?::\d+)?", "HOST"),  # a password may have / and @
    (r"(?<=host=')[^']+", "HOST"),
    (r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", "ADDRESS"),
    (r"\b(GPU|MIG)-[0-9a-f]{4,}[0-9a-f-]*", r"\1-***"),
    (r"\b\d{1,3}(?:\.\d{1,3}){3}(?=[:/\s,;)]|$)", "ADDRESS"),
    (r"(?<![\w:])(?=[0-9a-f:]*::|(?:[0-9a-f]+:){7})[0-9a-f:]+(?![\w:])", "ADDRESS"),
    (rf"(?<![\w.…~])(?:/{_WORD}(?: {_WORD}){{0,2}}){{2,}}/({_WORD})", r"…/\1"),
    (r"(?<![\w.…~])/(home|Users)/[^/\s]+", r"/\1/USER"),
    (r"(?:\b[A-Za-z]:|\\\\\w)(?:[^\\\n:;]+\\|\\)+([^\\\s]+)", r"…\\\1"),
)
"""Tokens, credentials and hosts in URLs, addresses, identifiers of GPUs; of absolute paths with
more than two parts the last one stays."""


_PUBLIC_URLS = re.compile(
    r"https?://(?:download\.pytorch\.org|huggingface\.co|www\.nvidia\.com)\S*"
)
"""Addresses that cogmagic itself names, which stay as they are."""


def redacted(text: str) -> str:
    """`text` without secrets, names of users and hosts, home paths and addresses."""
    for value, instead in _replacements():
        text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(value)}(?![A-Za-z0-9])", instead, text)
    parts, kept = _PUBLIC_URLS.split(text), _PUBLIC_URLS.findall(text)
    for pattern, instead in _PATTERNS:
        parts = [re.sub(pattern, instead, part) for part in parts]
    return "".join(part + url for part, url in zip(parts, [*kept, ""], strict=True))


def _replacements() -> Iterator[tuple[str, str]]:
    """What this process knows to be private, the longest first, and what stands in its place."""
    found = dict(_private())
    long = {value: instead for value, instead in found.items() if len(value) >= _SHORTEST}
    return iter(sorted(long.items(), key=lambda pair: -len(pair[0])))


def _private() -> Iterator[tuple[str, str]]:
    for name, value in os.environ.items():
        if _SECRET_NAME.search(name):
            yield value, "***"
    with suppress(Exception):  # a user without a name, a host without one
        yield getpass.getuser(), "USER"
    with suppress(OSError):
        yield socket.gethostname(), "HOST"
    homes = [os.environ.get(name, "") for name in ("HOME", "USERPROFILE")]
    with suppress(RuntimeError):
        homes.append(str(Path.home()))
    for home in filter(None, homes):
        yield Path(home).name, "USER"
        yield home.rstrip("/\\"), "~"
        with suppress(OSError):
            yield str(Path(home).resolve()), "~"
