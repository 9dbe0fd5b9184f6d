"""Completion of the names of GPU models."""

from __future__ import annotations

import re

from cogmagic._errors import RequestError
from cogmagic._machine.cards.table import CARDS
from cogmagic._machine.described import APPLE_CHIPS, described_gpus

__all__ = ["complete_cards"]


_BEFORE = re.compile(
    r"(?P<before>(?:.*\+)?\s*(?:\d{1,2}\s*[x×](?!tx?\b)|\d{1,2}\s+(?=[a-z]))?)(?P<name>.*)", re.I
)
"""The cards before a plus, the number of the next card, and what is typed of its name."""


_IGNORED = re.compile(r"nvidia|geforce|tesla|amd|radeon|instinct|[\s_-]")


def complete_cards(typed: str) -> tuple[str, ...]:
    """The values of ``--gpu`` that may follow from what is typed: ``2x RTX 4``, ``509``, ``T4 +``.

    A name matches from any of its words on, in any case and with or without spaces.
    """
    match = _BEFORE.fullmatch(typed)
    if match is None:
        return ()
    before, name = match["before"].strip(), match["name"]
    names = [n for n in (*(card.name for card in CARDS), *APPLE_CHIPS) if _matches(n, name)]
    if not before:
        return tuple(names)
    return tuple(value for n in names if _is_machine(value := f"{before} {n}"))


def _matches(card: str, typed: str) -> bool:
    """Whether a card's name has what is typed at the beginning of a word; sizes alone do not."""
    words, start = card.lower().split(), _IGNORED.sub("", typed.lower())
    return not start or any(
        "".join(words[i:]).startswith(start) for i, w in enumerate(words) if not w.endswith("gb")
    )


def _is_machine(gpus: str) -> bool:
    """Whether one machine may have these cards: 16 at most, of one maker, one integrated GPU."""
    try:
        described_gpus(gpus, None)
    except RequestError:
        return False
    return True
