"""The verb `cluster`: what may follow it, and what people type for that."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cogmagic._api.options.words import without_quotes
from cogmagic._errors import RequestError
from cogmagic._notebook.first_line import shortened

__all__ = ["WORDS", "after_other_name", "run_cluster"]


WORDS = ("local", "status", "off")
"""The words that may follow the verb, besides addresses."""


_OTHER_NAMES = ("ray", "cluster", "clusters", "connect", "nodes", "actors", "distributed")
"""The words that people type for the verb; with hyphens also itself."""


_OTHER_WORDS = {
    "local": ("start", "on", "up", "begin", "here", "init", "this", "all", "true"),
    "status": ("info", "list", "ls", "show", "state", "nodes", "actors", "workers", "resources"),
    "off": (
        *("stop", "end", "disconnect", "close", "shutdown", "down", "kill", "none", "exit"),
        *("release", "quit", "leave", "remove", "cancel", "false"),
    ),
}
"""The words that people type for each of them."""


_LINK = re.compile(r"^(?:--?)?(?:connect to|connect|to|address|at|join|attach|use)[\s=:]+", re.I)
"""What people type between the verb and an address."""


def run_cluster(typed: str) -> Any:
    """Connect with the cluster of an address, describe the one that is connected, or leave it.

    Raises:
        RequestError: for anything but an address or a word, with what to type instead.
        ClusterError: when the cluster cannot be used.
    """
    from cogmagic._api.cluster import NOT_CONNECTED, cluster, connection

    where = _where(without_quotes(typed.strip()))
    if where not in ("status", "off"):
        return cluster(where)
    connected = connection()
    if connected is None or where == "status":
        return connected or NOT_CONNECTED
    connected.off()
    return f"Left the cluster ({connected.where})."


def _where(typed: str) -> str:
    """The word or address of a line.

    Raises:
        RequestError: for other words.
    """
    if not typed:
        raise RequestError(
            "%cogvideo cluster takes local, HOST:PORT, ray://HOST:PORT, status or off, but got"
            " nothing. Type %cogvideo cluster local for this machine's GPUs."
        )
    word = typed.lower().strip("-")
    if word in WORDS:
        return word
    if meant := _meant(word):
        raise RequestError(f"Unknown word {typed!r}. Type %cogvideo cluster {meant}")
    if word == "auto" or word.isdecimal():
        raise RequestError(
            f"{typed!r} is not a cluster address. Type %cogvideo cluster local for all GPUs of"
            " this machine, or %cogvideo cluster 127.0.0.1:6379 if Ray runs here already."
        )
    if len(typed.split()) == 1 and not _LINK.match(typed):
        return typed
    raise RequestError(
        f"%cogvideo cluster takes one word or address, but got {shortened(typed)!r}."
        f" Type %cogvideo cluster {_nearest(typed)}"
    )


def after_other_name(words: Sequence[str]) -> str:
    """What to type after the verb for a line that names it otherwise; empty for other lines."""
    name, *others = words
    verb, rest = name.lower().strip("-:"), " ".join(others)
    if not rest and verb in ("local", "off", "disconnect"):
        return "local" if verb == "local" else "off"
    if not rest and verb.startswith("ray://"):
        return name
    if verb not in _OTHER_NAMES or len(others) > 1:
        return ""
    is_known = rest.lower() in WORDS or ":" in rest
    return "local" if not rest else rest if is_known else _meant(rest.lower())


def _meant(word: str) -> str:
    """The word that people mean by another, in lower case; empty for unknown ones."""
    return next((known for known, words in _OTHER_WORDS.items() if word in words), "")


def _nearest(typed: str) -> str:
    """The word or address that several words are most likely to mean."""
    first, *others = (*_LINK.sub("", typed, count=1).split(), "local")
    if len(others) > 1 and others[0].isdecimal():
        return f"{first}:{others[0]}"
    word = first.lower()
    return first if ":" in first else word if word in WORDS else _meant(word) or "local"
