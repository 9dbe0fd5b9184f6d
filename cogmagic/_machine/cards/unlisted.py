"""Errors about cards that are not listed: the nearest ones, or why they cannot be used."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cogmagic._errors import RequestError
from cogmagic._machine.cards.card import Card
from cogmagic._units import GIB

__all__ = ["shortened", "unknown_card", "unknown_size"]


_LETTERS = ("k", "m", "p", "v", "t", "a", "l", "h", "b")
"""Generations of data-centre cards by the letter before the number, Kepler to Blackwell."""


_OTHER_MAKERS = re.compile(
    r"\b(?:(?P<intel>intel|arc|iris|uhd|[ab][357][5-9]0|a3[18]0|b[56]0)|(?:gaudi|habana|tpu|ascend"
    r"|trainium|inferentia|mtt|moore threads|cambricon|adreno|mali|snapdragon|qualcomm))\b"
)
"""Words of GPUs and accelerators that cogmagic does not support."""


_AMOUNT = re.compile(
    r"(\d{1,4}(?:\.\d+)?(?=\s*g)|[4-9]|[1-9]\d)\s*(?:gi?b?)?(?:\s*(?:of\s+)?v?ram)?", re.I
)
"""A name that is an amount of memory alone: ``24GB``, ``24``, ``12 GB VRAM``."""


_RADEON = frozenset({"amd", "radeon", "rx", "vega", "ryzen", "w"})
"""Words of AMD's graphics cards."""


def unknown_card(name: str, names: Sequence[str]) -> RequestError:
    """The error for a name that is none of `names`, with the nearest of them."""
    text = f"Unknown card {shortened(name)!r}."
    if amount := _AMOUNT.fullmatch(name.strip()):
        return RequestError(
            f"{text} That is an amount of memory. Type --gpu NAME --vram {amount[1]}, or --vram"
            f" {amount[1]} alone, which assumes the pace of an RTX 3060."
        )
    if maker := _OTHER_MAKERS.search(name.lower()):
        intel = "Intel GPUs, Arc among them, are not"
        product = intel if maker["intel"] else f"{maker[0]!r} is not"
        return RequestError(
            f"{text} {product} supported: cogmagic computes on NVIDIA (CUDA), AMD (ROCm)"
            " and Apple (MPS) GPUs, and on CPUs."
        )
    if re.search(r"\b(apple|i?mac|macbook|m[1-9])\b", name.lower()):
        return RequestError(
            f"{text} Name an Apple chip alone, with the Mac's memory: --gpu 'M3 Max' --ram 36."
        )
    near = _nearest(name, names)
    if near:
        text += f" Did you mean {near[0]!r}?"
    if len(near) > 1:
        text += f" Similar: {', '.join(near)}."
    if re.search(r",|\band\b", name):
        text += " Name several cards as 'RTX 3090 + RTX 3060'."
    return RequestError(
        f"{text} For an unlisted card, name one about as fast, with the GiB of yours: --gpu NAME"
        " --vram GIB. --vram alone assumes the pace of an RTX 3060."
    )


def unknown_size(
    name: str, size: float, variants: Sequence[Card], related: Sequence[Card], exact: Card | None
) -> RequestError:
    """The error for a card that is not listed with a size, with what to type instead.

    Args:
        name: as typed.
        size: GiB in it.
        variants: the cards that have the rest of the name.
        related: those cards, and others of them in other forms.
        exact: the one of `related` with that size.
    """
    choices = ", ".join(f"{c.name!r} ({c.vram / GIB:.1f} GiB)" for c in related)
    text = f"Unknown variant {shortened(name)!r}. Known: {choices}."
    by_memory = sorted(variants, key=lambda c: c.vram)
    larger = next((c for c in by_memory if 0 < size < c.vram / GIB), None)
    nearest = min(related, key=lambda c: abs(c.vram / GIB - size))
    if exact:
        return RequestError(f"{text} Use --gpu {exact.name!r}.")
    if larger:
        return RequestError(f"{text} For less VRAM: --gpu {larger.name!r} --vram {size:g}.")
    text += f" Nearest: --gpu {nearest.name!r}."
    gib = by_memory[-1].vram / GIB
    count = round(size / gib)
    if 2 <= count <= 16 and 0.92 < count * gib / size <= 1 and not nearest.unified:
        text += f" For several: --gpu '{count}x {by_memory[-1].name}'."
    return RequestError(text)


def shortened(text: str) -> str:
    """`text` of at most 60 characters."""
    return text if len(text) <= 60 else text[:59] + "…"


def _nearest(name: str, names: Sequence[str]) -> list[str]:
    """Up to three names: by generation and number; without a number, by their letters."""
    model = _Model.of(name)
    if model is None:
        return difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    others = [(n, _Model.of(n)) for n in names]
    ranked = sorted((model.distance(other), n) for n, other in others if other is not None)
    return [n for _, n in ranked[:3]]


@dataclass(frozen=True)
class _Model:
    """The parts of a card's name that order cards."""

    series: str
    """``geforce``, ``workstation``, ``rtx pro``, ``radeon``, ``datacenter`` or ``instinct``."""
    letters: str
    """Those before the number, such as ``rtx``."""
    number: str
    suffixes: frozenset[str]

    @classmethod
    def of(cls, name: str) -> _Model | None:
        """The model of a name; None without a number other than an amount of memory."""
        text = re.sub(r"(?<=\d)o|o(?=\d)", "0", name.lower())  # the letter for the digit
        text = re.sub(r"\b\d+\s*(gib|gb|g)\b", " ", text)
        text = re.sub(r"nvidia|geforce|tesla|quadro|generation|gpu|instinct|[^a-z0-9]", " ", text)
        match = re.search(r"([a-z]*)\s*(\d{1,6})", text)
        if match is None:
            return None
        rest = f"{text[: match.start()]} {text[match.end() :]}"
        words = re.findall(r"ti|super|laptop|mobile|ada|pro|blackwell|xtx|xt|[a-z]+", rest)
        suffixes = frozenset(words) - {"rtx", "gtx", "amd", "radeon"}
        return cls(_series(match[1], match[2], words), match[1], match[2], suffixes)

    def distance(self, other: _Model) -> tuple[float, ...]:
        """How far another model is: its series, its number, its letters, its suffixes."""
        return (
            self.series != other.series,
            self._steps(other),
            self.letters != other.letters,
            len(self.suffixes ^ other.suffixes),
        )

    def _steps(self, other: _Model) -> float:
        """Generations, which count ten times, and tiers between two numbers."""
        mine, others = self.number, other.number
        data = self.series == "datacenter"
        if mine != others and not (data and (self.letters != other.letters or len(others) < 2)):
            if sorted(mine) == sorted(others) and self.series == "geforce":  # in another order
                return 0.1
            if mine.startswith(others) or others.startswith(mine):  # one digit too few or too many
                return 0.2
        if self.series in ("datacenter", "instinct"):
            ages = [
                _LETTERS.index(m.letters[-1:]) for m in (self, other) if m.letters[-1:] in _LETTERS
            ]
            generations = abs(ages[0] - ages[-1]) if len(ages) == 2 else 0
            return generations + abs(math.log2((int(mine) or 1) / (int(others) or 1)))
        parts = _radeon_parts if self.series == "radeon" else _parts
        (generation, tier), (its, its_tier) = parts(int(mine)), parts(int(others))
        return abs(generation - its) + abs(tier - its_tier)


def _parts(number: int) -> tuple[float, float]:
    """Ten for each generation, and the tier: (50, 9) of 5090, (10, 6) of 1060, (9, 8) of 980."""
    return number // 100, number % 100 / 10


def _radeon_parts(number: int) -> tuple[float, float]:
    """The same of Radeon cards: (70, 9) of 7900, (90, 7) of 9070, (50, 8) of 580."""
    size = 1000 if number >= 1000 else 100
    rest = number % size
    return number // size * 10, rest / 100 if rest >= 100 else rest / 10


def _series(letters: str, number: str, words: Iterable[str]) -> str:
    words = {letters, *words}
    if letters == "mi":
        return "instinct"
    if words & _RADEON:
        return "radeon"
    if words & {"pro", "blackwell"}:
        return "rtx pro"
    short = len(number) < (3 if letters == "t" else 4) or letters in ("l", "h", "b")
    if len(letters) in (1, 2) and letters[-1] in _LETTERS and short:
        return "datacenter"
    return "workstation" if int(number) % 1000 == 0 or words & {"a", "ada"} else "geforce"
