"""The error about a card that is not listed: the nearest ones, or why it cannot be used."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cogmagic._errors import RequestError

__all__ = ["shortened", "unknown_card"]


_LETTERS = ("k", "m", "p", "v", "t", "a", "l", "h", "b")
"""Generations of data-centre cards by the letter before the number, Kepler to Blackwell."""


_OTHER_MAKERS = re.compile(
    r"\b(intel|arc|iris|uhd|gaudi|tpu|ascend|trainium|inferentia|mtt|moore threads|cambricon"
    r"|[ab][357][5-9]0|a3[18]0|b[56]0)\b"
)
"""Words of GPUs and accelerators that cogmagic does not support, Intel Arc among them."""


def unknown_card(name: str, names: Sequence[str]) -> RequestError:
    """The error for a name that is none of `names`, with the nearest of them."""
    text = f"Unknown card {shortened(name)!r}."
    if maker := _OTHER_MAKERS.search(name.lower()):
        other = "gaudi|tpu|ascend|trainium|inferentia|mtt|moore threads|cambricon"
        known = re.fullmatch(other, maker[0])
        product = f"{maker[0]!r} is not" if known else "Intel GPUs, Arc among them, are not"
        return RequestError(
            f"{text} {product} supported: cogmagic computes on NVIDIA (CUDA), AMD (ROCm)"
            " and Apple (MPS) GPUs, and on CPUs."
        )
    if re.search(r"\b(apple|mac\w*|m[1-9])\b", name.lower()):
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
        f"{text} For an unlisted card: --gpu of one about as fast, with --vram GIB of yours."
        " --vram alone assumes the pace of an RTX 3060."
    )


def shortened(text: str) -> str:
    """`text` of at most 60 characters."""
    return text if len(text) <= 60 else text[:59] + "…"


def _nearest(name: str, names: Sequence[str]) -> list[str]:
    """Up to three names: by generation and number; without a number, by their letters."""
    model = _Model.of(name)
    if model is None:
        return difflib.get_close_matches(name, names, n=3, cutoff=0.4)
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
        text = re.sub(
            r"nvidia|geforce|tesla|quadro|generation|gpu|\bamd\b|radeon|instinct|[^a-z0-9]",
            " ",
            text,
        )
        match = re.search(r"([a-z]*)\s*(\d{1,6})", text)
        if match is None:
            return None
        words = re.findall(
            r"ti|super|laptop|mobile|ada|pro|blackwell|xtx|xt|[a-z]+", text[match.end() :]
        )
        before = re.findall(r"[a-z]+", text[: match.start()])
        letters, number = match[1], match[2]
        series = _series(letters, number, {*before, *words})
        return cls(
            series, letters, number, frozenset(w for w in (*before, *words)) - {"rtx", "gtx"}
        )

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
            if sorted(mine) == sorted(others):  # digits in another order
                return 0.1
            if mine.startswith(others) or others.startswith(mine):  # one digit too few or too many
                return 0.2
        if self.series in ("datacenter", "instinct"):
            ages = [
                _LETTERS.index(m.letters[-1:]) for m in (self, other) if m.letters[-1:] in _LETTERS
            ]
            generations = abs(ages[0] - ages[-1]) if len(ages) == 2 else 0
            return generations + abs(math.log2((int(mine) or 1) / (int(others) or 1)))
        (generation, tier), (its, its_tier) = divmod(int(mine), 100), divmod(int(others), 100)
        return abs(generation - its) + abs(tier - its_tier) / 10


def _series(letters: str, number: str, words: Iterable[str]) -> str:
    if "rx" in (letters, *words):
        return "radeon"
    if letters == "mi":
        return "instinct"
    if not {"pro", "blackwell"}.isdisjoint((letters, *words)):
        return "rtx pro"
    short = len(number) < 4 or letters in ("t", "l", "h", "b")
    if len(letters) in (1, 2) and letters[-1] in _LETTERS and short:
        return "datacenter"
    return "workstation" if int(number) % 1000 == 0 or letters == "a" else "geforce"
