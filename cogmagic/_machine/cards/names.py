"""Cards by name: as people type them and as drivers report them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache

from cogmagic._errors import RequestError
from cogmagic._machine.cards.table import CARDS, Card
from cogmagic._machine.cards.unlisted import shortened, unknown_card, unknown_size
from cogmagic._units import GIB

__all__ = ["card_for", "find_card", "most_memory", "parse_gpus"]


_MAX_CARDS = 16
"""Most cards in one machine."""


NOMINAL_ERROR = 0.075
"""Largest share of a name's size that the driver leaves out: a "16 GB" T4 has 15 GiB."""


_MOST_MEMORY = 4
"""Largest multiple of a datasheet's memory that a rebuilt card is taken to have."""


_REBUILT = ("GTX", "RTX", "Titan", "Quadro", "RX")
"""First words of cards that are rebuilt with larger memory chips: those with GDDR."""


_FORMS = frozenset({"sxm", "pcie", "nvl", "dgx", "spark", "jetson", "agx", "nx", "nano"})
"""Form factors and products, which a driver may leave out."""


_MODULES = frozenset({"agx", "nx", "nano"})
"""Those of them that name different products: an AGX Orin is three times as fast as a Nano."""


_WORDS = frozenset({"spark", "orin", "thor", "agx"})
"""Words that name cards without a number."""


_NOISE = _FORMS | {
    "hbm2", "hbm2e", "hbm3", "hbm3e", "with", "design", "workstation", "server", "edition", "oam",
    "gddr5", "gddr5x", "gddr6", "gddr6x", "gddr7", "vram", "desktop", "graphics", "card",
    "developer", "kit", "module",
}  # fmt: skip
"""Words of drivers' names that distinguish no cards."""


_COUNTED = re.compile(r"(?i)(\d+)\s*[x×*](?!tx?\b)\s*(.+)|(\d{1,2})\s+((?!gi?b?\b)[a-z].+|\d{4}.*)")
_COUNTED_AFTER = re.compile(r"(.+?)(?:\s+|(?<=\d))[x×*]\s*(\d{1,2})\s*", re.I)


_CHIPS = frozenset({
    "ti", "super", "d", "laptop", "max", "sff", "ada", "blackwell", "pro", "xt", "xtx", "gre",
})  # fmt: skip
"""Words that turn a model number into another chip, or another clock rate."""


def find_card(name: str) -> Card:
    """The card of a name in any spelling; a size in the name is the card's, or more.

    A card with more memory than its datasheet has (rebuilt, as the RTX 4090 with 48 GB) gets the
    memory of its name. Of several that differ in memory or form, the one without a size in its own
    name, then the one with the least memory: ``RTX 3060`` has 12 GB, ``3080`` 10 GB, ``H100`` is
    the PCIe card. Unless its whole name was typed, its `also` names the others. Drivers' names are
    recognised, too.

    Raises:
        RequestError: with the nearest names, the card's variants, or the several cards of a name.
    """
    words = _kinds(name)
    has_number = any(c.isdigit() for word in words for c in word)
    is_name = has_number or words & _WORDS or words == {"jetson"}  # not just "RTX" or "Laptop"
    matches = [c for c in CARDS if is_name and words <= _kinds(c.name)]
    if not matches:
        card = card_for(name, None)
        extra = words - _kinds(card.name) - _NOISE if card else frozenset()
        matches = [c for c in CARDS if card and not extra and _kinds(c.name) == _kinds(card.name)]
    plain = [c for c in matches if not (_core(c) - words) & _CHIPS]  # a 5060 Ti is not a 5060
    if not plain:
        raise unknown_card(name, [c.name for c in CARDS])
    if plain[0].name.startswith("Quadro") and "quadro" not in name.lower() and len(matches) > 1:
        raise _several(name, matches)
    # "RTX 3080" is a 3080 and not a 3080 Ti, whatever the size: the fewest words more.
    fewest = min(len(_core(c) - words) for c in plain)
    return _of_size(name, [c for c in plain if len(_core(c) - words) == fewest])


def _of_size(name: str, variants: Sequence[Card]) -> Card:
    """The variant with the memory in a name, or the one that was rebuilt with more."""
    sizes = _sizes(name)
    sized = [c for c in variants if all(_has(c, size) for size in sizes)]
    if len({_core(c) | _kinds(c.name) & _MODULES for c in sized}) > 1:
        raise _several(name, sized)
    if sized:
        card = min(sized, key=lambda c: (bool(_sizes(c.name)), c.vram))
        is_whole = _words(card.name) <= _words(name)
        return replace(card, also=() if is_whole else tuple(c.name for c in sized if c != card))
    largest = max(variants, key=lambda c: c.vram)
    (size, *others) = sizes
    if not others and largest.vram / GIB < size <= most_memory(largest):
        multiples = [c for c in variants if size % round(c.vram / GIB) == 0] or [largest]
        return replace(max(multiples, key=lambda c: c.vram), vram=round(size * GIB))
    related = [c for c in CARDS if _core(c) == _core(largest)]
    exact = next((c for c in related if _has(c, size)), None)
    raise unknown_size(name, size, variants, related, exact)


def _several(name: str, cards: Sequence[Card]) -> RequestError:
    choices = ", ".join(f"{c.name!r} ({c.vram / GIB:.1f} GiB)" for c in cards)
    return RequestError(f"{shortened(name)!r} is the name of several cards. Use {choices}.")


def _has(card: Card, size: float) -> bool:
    """Whether a card has `size` GiB, which may be rounded down, or include what a driver keeps."""
    gib = card.vram / GIB
    return size <= gib < size + 1 or size * (1 - NOMINAL_ERROR) <= gib <= size


def most_memory(card: Card) -> int:
    """The most GiB that a card may have, rebuilt with more memory than its datasheet has."""
    listed = next(c for c in CARDS if c.name == card.name)
    return math.ceil(listed.vram / GIB) * (_MOST_MEMORY if card.name.startswith(_REBUILT) else 1)


_SHORT = {"mobile": "laptop", "notebook": "laptop", "m": "laptop", "s": "super"}
"""Other words for a chip's."""


_SPELLINGS = {
    r"\bh20 3e\b": "h20 141gb",
    r"\bgh200 (480|120) ?gb\b": "gh200 96gb",  # the driver names the host's memory
    r"\borin (nano|nx) super\b": r"orin \1",  # the same module in a mode with higher clocks
    r"\bt4000\b": "thor 64gb",
    r"\b(thor )?t5000\b": "thor 128gb",
}
"""Names that drivers and makers give to cards, and those cards' words here."""


@lru_cache(4096)
def _words(name: str) -> frozenset[str]:
    text = re.sub(r"[-_™®]|\((r|tm)\)", " ", name.lower())
    for spelling, words in _SPELLINGS.items():
        text = re.sub(spelling, words, text)
    makers = r"(nvidia|geforce|tesla|quadro|generation|gpu|\bamd\b|radeon|instinct)"
    text = re.sub(r"(rtx|gtx|\brx)(?=\d)", r"\1 ", re.sub(makers, " ", text))
    text = re.sub(r"\bmi (?=\d)", "mi", text)
    text = re.sub(r"\bsxm\d?\b", "sxm", text)
    text = re.sub(r"\b(\d+(?:\.\d+)?)\s*(?:gib|gb|g)\b", r"\1gb", text)
    text = re.sub(r"\b(\d{4})(ti)?(super|s|d|m|xtx|xt|gre)?\b", r"\1 \2 \3", text)
    text = re.sub(r"\btis\b", "ti super", text)
    kinds = frozenset(_SHORT.get(word, word) for word in text.split())
    return kinds - {"blackwell"} if "pro" in kinds else kinds  # every RTX PRO is one


def _kinds(name: str) -> frozenset[str]:
    """The words of a name without amounts of memory."""
    return frozenset(w for w in _words(name) if not w.endswith("gb"))


def _sizes(name: str) -> list[float]:
    """The amounts of memory in a name, in GiB."""
    sizes = (w[:-2] for w in _words(name) if re.fullmatch(r"[0-9]+(\.[0-9]+)?gb", w))
    return sorted(min(float(size), 1e6) for size in sizes)


def card_for(name: str, total: int | None) -> Card | None:
    """The card that a driver calls `name` (``NVIDIA A100-SXM4-40GB``), or None.

    None also for a part of a card (MIG), and for an unlisted laptop, Super or other version: its
    desktop namesake can be twice as fast.

    Args:
        name: as NVML reports it.
        total: bytes that NVML reports, to distinguish variants; None where unknown.
    """
    words = _words(name)
    if "mig" in words:
        return None
    matches = [c for c in CARDS if _core(c) <= words and _core(c) & _CHIPS == words & _CHIPS]
    if not matches:
        return None
    longest = max(len(_core(c)) for c in matches)
    matches = [c for c in matches if len(_core(c)) == longest]
    if "pcie" not in words and "nvl" not in words:
        words |= {"sxm"}  # the driver names the form of an H100 unless it is SXM
    return min(
        matches,
        key=lambda c: (abs(c.vram - (total or c.vram)) // GIB, -len(_words(c.name) & words)),
    )


def _core(card: Card) -> frozenset[str]:
    """The words of a card's name that every driver reports."""
    return _kinds(card.name) - _FORMS


def parse_gpus(text: str, size: float | None = None) -> tuple[Card, ...]:
    """The cards of ``RTX 3060``, ``2x A100 40GB`` or ``RTX 3090 + RTX 3060``.

    Args:
        text: names and numbers of cards.
        size: GiB of each: of cards of one name, those of that size are taken.

    Raises:
        RequestError: for an unknown card, or a number of cards that is not 1 to 16.
    """
    if not isinstance(text, str):
        raise RequestError(f"{text!r:.80} is not the name of a card, such as 'RTX 3060'.")
    cards: list[Card] = []
    for part in text.split("+"):
        digits, name = _counted(part)
        count = int(digits) if len(digits) < 5 else 9999
        if not 1 <= len(cards) + count <= _MAX_CARDS or not count:
            raise RequestError(
                f"--gpu {shortened(text)!r} names {len(cards) + count} cards; a machine has"
                f" 1 to {_MAX_CARDS}."
            )
        cards += [_card_with(name.strip(), size)] * count
    return tuple(cards)


def _card_with(name: str, size: float | None) -> Card:
    """The card of a name: of several, the one with `size` GiB, else the smallest with more."""
    if size is not None:
        with suppress(RequestError):  # "RTX 5060 Ti" with 16 GiB is the variant of that size
            return find_card(f"{name} {size:g}GB")
    card = find_card(name)
    if size is None or size <= card.vram / GIB:
        return card
    others = sorted((c for c in CARDS if c.name in card.also), key=lambda c: c.vram)
    return next((c for c in others if size <= c.vram / GIB), others[-1] if others else card)


def _counted(part: str) -> tuple[str, str]:
    """The number and the name of ``2x T4``, ``2 T4``, ``T4 x2`` or ``T4``."""
    before, after = _COUNTED.fullmatch(part.strip()), _COUNTED_AFTER.fullmatch(part)
    if before and after and len(after[2]) < len(after[1].strip()):  # "4090 x2"
        before = None
    if before:
        digits, name = (g for g in before.groups() if g is not None)
        return digits, name
    return (after[2], after[1]) if after else ("1", part)
