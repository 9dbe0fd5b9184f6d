"""What GPU models are, from their makers' datasheets: for machines that one does not have."""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass

from cogmagic._errors import RequestError, did_you_mean
from cogmagic._gpu import GIB, Gpu
from cogmagic._machine import Machine
from cogmagic._ram import Ram
from cogmagic._rates import expected

__all__ = ["CARDS", "Card", "card_for", "described", "find_card", "parse_gpus"]

MIB = 2**20


@dataclass(frozen=True)
class Card:
    """One GPU model."""

    name: str
    vram: int
    """Bytes that the driver reports as total."""
    capability: tuple[int, int]
    tflops_16: float
    """Dense 16-bit tensor TFLOP/s with float32 accumulation; without tensor cores, plain ones."""
    pcie: tuple[int, int]
    """Generation and lanes of the link to the host."""

    @property
    def host_rate(self) -> float:
        """Bytes a second from page-locked memory: 0.84 of the link's raw rate, as on an H100."""
        generation, lanes = self.pcie
        return 0.84 * lanes * 0.985e9 * 2.0 ** (generation - 3)


def _cards(capability: tuple[int, int], pcie: tuple[int, int], rows: str) -> tuple[Card, ...]:
    """One card a line: name, MiB, TFLOP/s, and the lanes where they differ."""
    found = []
    for row in rows.strip().splitlines():
        name, mib, tflops, *lanes = (field.strip() for field in row.split("|"))
        link = (pcie[0], int(lanes[0])) if lanes else pcie
        found.append(Card(name, int(mib) * MIB, capability, float(tflops), link))
    return tuple(found)


# MiB as nvidia-smi reports them. GeForce cards run float32 accumulation at half the rate of
# float16 up to Ada, which the figures have in them.
CARDS: tuple[Card, ...] = (
    # Pascal and Volta: "NVIDIA Tesla P100" and "NVIDIA Tesla V100" architecture whitepapers.
    *_cards((6, 0), (3, 16), "P100 16GB | 16280 | 18.7"),
    *_cards((6, 1), (3, 16), "GTX 1080 Ti | 11178 | 11.3"),
    *_cards((7, 0), (3, 16), "V100 16GB | 16384 | 112\nV100 32GB | 32768 | 112"),
    # "NVIDIA Turing GPU architecture" whitepaper; T4 datasheet.
    *_cards(
        (7, 5),
        (3, 16),
        """
        T4 | 15360 | 65
        RTX 2060 | 6144 | 25.8
        RTX 2070 | 8192 | 29.9
        RTX 2080 | 8192 | 40.3
        RTX 2080 Ti | 11264 | 53.8
        Titan RTX | 24576 | 130.5
        """,
    ),
    # "NVIDIA A100 Tensor Core GPU architecture" whitepaper; A30 datasheet.
    *_cards(
        (8, 0),
        (4, 16),
        "A30 | 24576 | 165\nA100 40GB | 40960 | 312\nA100 80GB | 81920 | 312",
    ),
    # "NVIDIA Ampere GA102 GPU architecture" whitepaper; RTX A-series, A10 and A40 datasheets.
    *_cards(
        (8, 6),
        (4, 16),
        """
        RTX 3050 | 8192 | 18.2 | 8
        RTX 3060 | 12288 | 25.5
        RTX 3060 Ti | 8192 | 32.4
        RTX 3070 | 8192 | 40.6
        RTX 3070 Ti | 8192 | 43.5
        RTX 3080 10GB | 10240 | 59.5
        RTX 3080 12GB | 12288 | 61.3
        RTX 3080 Ti | 12288 | 68.2
        RTX 3090 | 24576 | 71
        RTX 3090 Ti | 24564 | 80
        RTX 3060 Laptop | 6144 | 21.3 | 8
        RTX 3070 Laptop | 8192 | 33.5
        RTX 3080 Laptop | 16384 | 39.0
        RTX A2000 12GB | 12282 | 31.9
        RTX A4000 | 16376 | 76.7
        RTX A5000 | 24564 | 111.1
        RTX A6000 | 49140 | 154.8
        A10 | 23028 | 125
        A10G | 23028 | 70
        A40 | 46068 | 149.7
        """,
    ),
    # "NVIDIA Ada GPU architecture" whitepaper; RTX Ada, L4, L40 and L40S datasheets.
    *_cards(
        (8, 9),
        (4, 16),
        """
        RTX 4060 | 8188 | 30.2 | 8
        RTX 4060 Ti 8GB | 8188 | 44.1 | 8
        RTX 4060 Ti 16GB | 16380 | 44.1 | 8
        RTX 4070 | 12282 | 58.3
        RTX 4070 Super | 12282 | 71
        RTX 4070 Ti | 12282 | 80.2
        RTX 4070 Ti Super | 16376 | 88.2
        RTX 4080 | 16376 | 97.5
        RTX 4080 Super | 16376 | 104.4
        RTX 4090 | 24564 | 165.2
        RTX 4060 Laptop | 8188 | 24 | 8
        RTX 4070 Laptop | 8188 | 31 | 8
        RTX 4080 Laptop | 12282 | 49
        RTX 4090 Laptop | 16376 | 66
        RTX 2000 Ada | 16380 | 48 | 8
        RTX 4000 Ada | 20475 | 106.9
        RTX 5000 Ada | 32760 | 261
        RTX 6000 Ada | 49140 | 364.2
        L4 | 23034 | 121
        L40 | 46068 | 181
        L40S | 46068 | 362
        """,
    ),
    # H100, H200 and GH200 datasheets (half of the sparse figures).
    *_cards(
        (9, 0),
        (5, 16),
        """
        H100 PCIe 80GB | 81559 | 756
        H100 SXM 80GB | 81559 | 989
        H100 NVL 94GB | 95830 | 835
        H200 | 143771 | 989
        GH200 | 97871 | 989
        """,
    ),
    *_cards((10, 0), (5, 16), "B200 | 183359 | 2250"),
    # "NVIDIA RTX Blackwell GPU architecture" whitepaper; RTX PRO 6000 datasheet.
    *_cards(
        (12, 0),
        (5, 16),
        """
        RTX 5060 Ti 16GB | 16311 | 47.4 | 8
        RTX 5070 | 12227 | 61.7
        RTX 5070 Ti | 16303 | 87.9
        RTX 5080 | 16303 | 112.6
        RTX 5090 | 32607 | 209.5
        RTX PRO 6000 Blackwell | 97887 | 503.8
        """,
    ),
)

_DISPLAY = 300 * MIB
"""What the driver and a desktop keep of a card that is otherwise idle."""
_GENERIC = "RTX 3060"
"""The card whose speed a described amount of VRAM without a name gets."""


def find_card(name: str) -> Card:
    """The card of that name, however it is spelt; of several sizes, the smallest.

    Raises:
        RequestError: with the nearest names.
    """
    wanted = _words(name)
    fits = [c for c in CARDS if wanted and wanted <= _words(c.name)]
    if not fits:
        names = [c.name for c in CARDS]
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
        raise RequestError(
            f"Unknown card {name!r}.{did_you_mean(name, names)}"
            + (f" Near: {', '.join(near)}." if len(near) > 1 else "")
            + " For a card that is not known: --vram GIB."
        )
    # "RTX 3080" is a 3080 and not a 3080 Ti: the fewest words more, then the least memory.
    return min(fits, key=lambda c: (len(_kinds(c.name) - wanted), c.vram))


def _words(name: str) -> frozenset[str]:
    text = re.sub(r"(nvidia|geforce|tesla|quadro|generation|gpu)", " ", name.lower())
    text = re.sub(r"(rtx|gtx)(?=\d)", r"\1 ", text.replace("-", " "))
    text = re.sub(r"\b(\d+)\s*(?:gib|gb|g)\b", r"\1gb", text)
    text = re.sub(r"(\d{4})(ti|super|d)\b", r"\1 \2", text)
    return frozenset(text.split())


def _kinds(name: str) -> frozenset[str]:
    """The words of a name that are no amount of memory."""
    return frozenset(w for w in _words(name) if not w.endswith("gb"))


def card_for(name: str, total: int | None) -> Card | None:
    """The card that a driver calls `name` (``NVIDIA A100-SXM4-40GB``), or None."""
    said = _words(re.sub(r"(?i)\bsxm\d?\b", "sxm", name.replace("-", " ")))
    fits = [c for c in CARDS if _kinds(c.name) - {"sxm", "pcie", "nvl"} <= said]
    if not fits:
        return None
    longest = max(len(_kinds(c.name) - {"sxm", "pcie", "nvl"}) for c in fits)
    fits = [c for c in fits if len(_kinds(c.name) - {"sxm", "pcie", "nvl"}) == longest]
    if "pcie" not in said and "nvl" not in said:
        said |= {"sxm"}  # the driver names the form of an H100 only when it is not SXM's
    return min(
        fits, key=lambda c: (abs(c.vram - (total or c.vram)) // GIB, -len(_words(c.name) & said))
    )


def parse_gpus(text: str) -> tuple[Card, ...]:
    """The cards of ``RTX 3060``, ``2x A100 40GB`` or ``RTX 3090 + RTX 3060``.

    Raises:
        RequestError: for an unknown card, or a count that is not 1 to 16.
    """
    found: list[Card] = []
    for part in text.split("+"):
        match = re.fullmatch(r"\s*(\d+)\s*[x×]\s+(.+)|\s*(\d+)\s*[x×](?=\D)(.+)", part, re.I)
        count = int(next(g for g in match.groups() if g)) if match else 1
        name = [g for g in match.groups() if g][1] if match else part
        if not 1 <= count <= 16:
            raise RequestError(f"--gpu {text!r}: {count} cards, but it must be 1 to 16.")
        found += [find_card(name.strip())] * count
    return tuple(found)


def described(
    gpus: str | None = None, *, ram: float | None = None, vram: float | None = None
) -> Machine:
    """The machine of `Machine.of`: idle cards, less what a driver and a desktop keep.

    Raises:
        RequestError: for unknown cards and impossible amounts.
    """
    amount = None if vram is None else _gib("vram", vram)
    memory = Ram() if ram is None else Ram(_gib("ram", ram), _gib("ram", ram))
    if gpus is None and amount is None:
        return Machine((), memory)
    cards = parse_gpus(gpus) if gpus is not None else (find_card(_GENERIC),)
    least = min(c.vram for c in cards)
    if gpus is not None and amount is not None and amount > least:
        raise RequestError(
            f"--vram {vram:g} is more than {cards[0].name} has. Nearest: --vram {least / GIB:.1f}."
        )
    found = []
    for index, card in enumerate(cards):
        total = amount or card.vram
        name = card.name if gpus is not None else f"GPU of {vram:g} GiB"
        free = total - _DISPLAY
        found.append(Gpu(index, name, total=total, free=free, capability=card.capability))
    slowest = min(cards, key=lambda c: c.tflops_16)
    return Machine(tuple(found), memory, "cuda", rates=expected(slowest))


def _gib(name: str, value: float) -> int:
    if not isinstance(value, int | float) or not math.isfinite(value) or not 0.5 <= value <= 4096:
        raise RequestError(f"--{name} {value}: an amount in GiB from 0.5 to 4096, such as 12.")
    return round(value * GIB)
