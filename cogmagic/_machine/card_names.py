"""GPU models by every name they go by, and machines made of them that one does not have."""

from __future__ import annotations

import difflib
import re

from cogmagic._errors import RequestError, did_you_mean
from cogmagic._machine.cards import CARDS, Card
from cogmagic._units import GIB

__all__ = ["card_for", "find_card", "parse_gpus"]


_MOST = 16
"""Cards in one machine."""


_NOMINAL = 0.1
"""How far a size in a name may be from what the driver reports: a "16 GB" T4 has 15 GiB."""


_FORMS = frozenset({"sxm", "pcie", "nvl"})


_NOISE = _FORMS | {
    "hbm2", "hbm2e", "hbm3", "hbm3e", "with", "design", "workstation", "server", "edition",
}  # fmt: skip


_COUNTED = re.compile(r"\s*(\d+)\s*[x×]\s*(.+)|\s*(\d{1,2})\s+([a-z].+)", re.I)


_COUNTED_AFTER = re.compile(r"(.+?)\s+[x×]\s*(\d{1,2})\s*", re.I)


_CHIPS = frozenset({"ti", "super", "d", "laptop", "mobile", "max", "sff", "ada", "blackwell"})
"""Words that make another chip, or another clock, of the same number."""


def find_card(name: str) -> Card:
    """The card of that name, however it is spelt; a size in it must be the card's.

    Of several, the plainest name and then the least memory: ``3080`` is the RTX 3080 with 10 GB,
    ``H100`` the PCIe card. Names that a driver tells are known too.

    Raises:
        RequestError: with the nearest names, or with the sizes that there are.
    """
    said, sizes = _kinds(name), _sizes(name)
    named = any(c.isdigit() for word in said for c in word)  # not just "RTX", "Ti" or "Laptop"
    fits = [c for c in CARDS if named and said <= _kinds(c.name)]
    if not fits:
        told = card_for(name, None)
        extra = said - _kinds(told.name) - _NOISE if told else frozenset()
        fits = [c for c in CARDS if told and not extra and _kinds(c.name) == _kinds(told.name)]
    if not fits:
        raise _unknown(name)
    fits = [c for c in fits if not (_core(c) - said) & _CHIPS]  # a 5060 Ti is no 5060
    if not fits:
        raise _unknown(name)
    # "RTX 3080" is a 3080 and not a 3080 Ti, whatever size is said: the fewest words more.
    fewest = min(len(_core(c) - said) for c in fits)
    fits = [c for c in fits if len(_core(c) - said) == fewest]
    sized = [c for c in fits if all(abs(c.vram / GIB - s) <= _NOMINAL * s for s in sizes)]
    if not sized:
        choices = ", ".join(f"{c.name!r} ({c.vram / GIB:.1f} GiB)" for c in fits)
        raise RequestError(
            f"No {name!r} is known, but {choices}. For less of one: --gpu with --vram."
        )
    return min(sized, key=lambda c: c.vram)


def _unknown(name: str) -> RequestError:
    names = [c.name for c in CARDS]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    return RequestError(
        f"Unknown card {_shortened(name)!r}.{did_you_mean(name, names)}"
        + (f" Near: {', '.join(near)}." if len(near) > 1 else "")
        + (" Several cards: 'RTX 3090 + RTX 3060'." if re.search(r",|\band\b", name) else "")
        + " For a card that is not known: --vram GIB."
    )


def _words(name: str) -> frozenset[str]:
    text = re.sub(r"(nvidia|geforce|tesla|quadro|generation|gpu)", " ", name.lower())
    text = re.sub(r"(rtx|gtx)(?=\d)", r"\1 ", text.replace("-", " "))
    text = re.sub(r"\bsxm\d?\b", "sxm", text)
    text = re.sub(r"\b(\d+)\s*(?:gib|gb|g)\b", r"\1gb", text)
    text = re.sub(r"(\d{4})(ti|super|d)\b", r"\1 \2", text)
    words = frozenset(text.split())
    return words - {"blackwell"} if "pro" in words else words  # there is no other RTX PRO


def _kinds(name: str) -> frozenset[str]:
    """The words of a name that are no amount of memory."""
    return frozenset(w for w in _words(name) if not w.endswith("gb"))


def _sizes(name: str) -> list[float]:
    """The amounts of memory in a name, in GiB."""
    return [float(w[:-2]) for w in _words(name) if re.fullmatch(r"[0-9]{1,4}gb", w)]


def card_for(name: str, total: int | None) -> Card | None:
    """The card that a driver calls `name` (``NVIDIA A100-SXM4-40GB``), or None.

    None too for a part of a card (MIG), and for a laptop's, Super's or other version that is not
    known: its desktop namesake can be twice as fast.

    Args:
        name: as NVML tells it.
        total: bytes that NVML reports, to tell sizes apart; None where unknown.
    """
    said = _words(name)
    if "mig" in said:
        return None
    fits = [c for c in CARDS if _core(c) <= said and _core(c) & _CHIPS == said & _CHIPS]
    if not fits:
        return None
    longest = max(len(_core(c)) for c in fits)
    fits = [c for c in fits if len(_core(c)) == longest]
    if "pcie" not in said and "nvl" not in said:
        said |= {"sxm"}  # the driver names the form of an H100 only when it is not SXM's
    return min(
        fits, key=lambda c: (abs(c.vram - (total or c.vram)) // GIB, -len(_words(c.name) & said))
    )


def _core(card: Card) -> frozenset[str]:
    """The words of a card's name that a driver always tells."""
    return _kinds(card.name) - _FORMS


def parse_gpus(text: str) -> tuple[Card, ...]:
    """The cards of ``RTX 3060``, ``2x A100 40GB`` or ``RTX 3090 + RTX 3060``.

    Raises:
        RequestError: for an unknown card, or a number of cards that is not 1 to 16.
    """
    if not isinstance(text, str):
        raise RequestError(f"{text!r:.80} is no card's name, such as 'RTX 3060'.")
    found: list[Card] = []
    for part in text.split("+"):
        digits, name = _counted(part)
        count = int(digits) if len(digits) < 5 else 9999
        if not 1 <= len(found) + count <= _MOST or not count:
            raise RequestError(
                f"--gpu {_shortened(text)!r}: {len(found) + count} cards,"
                f" but it must be 1 to {_MOST}."
            )
        found += [find_card(name.strip())] * count
    return tuple(found)


def _counted(part: str) -> tuple[str, str]:
    """The number and the name of ``2x T4``, ``2 T4``, ``T4 x2`` or ``T4``."""
    before, after = _COUNTED.fullmatch(part), _COUNTED_AFTER.fullmatch(part)
    if before:
        digits, name = (g for g in before.groups() if g is not None)
        return digits, name
    return (after[2], after[1]) if after else ("1", part)


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
