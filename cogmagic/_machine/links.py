"""Links between the GPUs of a machine: NVLink, PCIe, or host memory where peers have no access."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations

from cogmagic._machine.cards.card import Card
from cogmagic._machine.cards.names import card_for
from cogmagic._machine.gpu import Gpu
from cogmagic._machine.nvml import ask

__all__ = ["UNKNOWN_LINK", "Link", "described_links", "link_among", "read_links"]


@dataclass(frozen=True)
class Link:
    """How two GPUs exchange tensors."""

    kind: str
    """``NVLink``, ``PCIe`` or ``host memory``."""
    rate: float
    """Bytes a second that a GPU sends while it receives as many."""
    gpus: tuple[int, int] = (0, 0)
    """Torch's indices, the lower one first."""


# The shares of a link's rate that exchanges of heads and tokens reach. NVLink: from steps of 5b on
# four H200s (docs/benchmarks/parallel.jsonl). PCIe, and host memory through which every byte passes
# twice: not measured.
_NVLINK, _PCIE, _HOST = 2 / 3, 0.6, 0.3

_PER_LINK = {6: 20e9, 7: 25e9, 8: 25e9, 9: 25e9, 10: 50e9}
"""Bytes a second each way of one NVLink, by the major number of the compute capability (NVIDIA's
datasheets: 4 links of a P100, 6 of a V100, 12 of an A100, 18 of an H100 and of a B200)."""
_PER_BRIDGE = 14e9
"""The same for a card of the RTX 30 series and its kin (8.6): four links, 56 GB/s."""

_SERVER_CARDS = {
    "V100": 150e9,
    "A100": 300e9,
    "A800": 200e9,
    "H100 SXM": 450e9,
    "H100 NVL": 300e9,
    "H200": 450e9,
    "H800 SXM": 200e9,
    "H20": 450e9,
    "GH200": 450e9,
    "B200": 900e9,
}
"""Bytes a second each way over NVLink, in servers with several of these cards."""
_GEFORCE = re.compile(r"(GTX|RTX) (10|16|20|30|40|50)[5-9]0\b")
"""Cards to which the driver grants no peer access over PCIe."""

_PEERS_READ, _NVLINK_PEERS, _MOST_NVLINKS = 0, 2, 18
"""NVML's ``NVML_P2P_CAPS_INDEX_READ`` (a tuple in some versions of pynvml) and ``…_NVLINK``, and
the most NVLinks that a GPU has."""

UNKNOWN_LINK = Link("PCIe", _PCIE * 0.84 * 16 * 0.985e9)
"""The link of GPUs of which nothing is known: 16 lanes of generation 3."""


def described_links(gpus: Sequence[Gpu], cards: Sequence[Card]) -> tuple[Link, ...]:
    """The links of a described machine: of equal server cards NVLink, else what PCIe gives."""
    links = []
    for (one, card), (other, second) in combinations(zip(gpus, cards, strict=True), 2):
        link = min((_of_card(card), _of_card(second)), key=lambda link: link.rate)
        if card.name != second.name and link.kind == "NVLink":
            link = min((_over_pcie(card), _over_pcie(second)), key=lambda link: link.rate)
        links.append(replace(link, gpus=(one.index, other.index)))
    return tuple(links)


def _of_card(card: Card) -> Link:
    names = (name for name in _SERVER_CARDS if card.name.startswith(name))
    if (name := next(names, None)) is not None:
        return Link("NVLink", _NVLINK * _SERVER_CARDS[name])
    return _over_pcie(card, host=_GEFORCE.match(card.name) is not None)


def _over_pcie(card: Card, *, host: bool = False) -> Link:
    if host:
        return Link("host memory", _HOST * card.host_rate)
    return Link("PCIe", _PCIE * card.host_rate)


def read_links(gpus: Sequence[Gpu]) -> tuple[Link, ...]:
    """The links between this machine's GPUs, as NVML reports them; PCIe where it does not."""
    constant = (replace(g, free=None, reserved=None, allocated=None, allowed=None) for g in gpus)
    return _links(tuple(constant))


@lru_cache(maxsize=8)
def _links(gpus: tuple[Gpu, ...]) -> tuple[Link, ...]:
    return tuple(_read(one, other) for one, other in combinations(gpus, 2))


def _read(one: Gpu, other: Gpu) -> Link:
    pair = (one.index, other.index)
    rate = min(_nvlink_rate(one), _nvlink_rate(other))
    if rate and ask("nvmlDeviceGetP2PStatus", one, other, args=(_NVLINK_PEERS,)) in (0, None):
        return Link("NVLink", _NVLINK * rate, pair)
    access = ask("nvmlDeviceGetP2PStatus", one, other, args=(_PEERS_READ,))
    host = access not in (0, None)
    cards = [card for gpu in (one, other) if (card := card_for(gpu.name, gpu.total))]
    links = [_over_pcie(card, host=host) for card in cards]
    unknown = Link("host memory", UNKNOWN_LINK.rate * _HOST / _PCIE) if host else UNKNOWN_LINK
    return replace(min(links, key=lambda link: link.rate, default=unknown), gpus=pair)


def _nvlink_rate(gpu: Gpu) -> float:
    """Bytes a second that a GPU sends over its active NVLinks; 0 without any."""
    count = 0
    for number in range(_MOST_NVLINKS):
        state = ask("nvmlDeviceGetNvLinkState", gpu, args=(number,))
        if state is None:  # no such link
            break
        count += state == 1
    geforce = gpu.capability == (8, 6)
    return count * (_PER_BRIDGE if geforce else _PER_LINK.get((gpu.capability or (0, 0))[0], 20e9))


def link_among(links: Sequence[Link], gpus: Sequence[Gpu]) -> Link:
    """The slowest link among these GPUs, which sets the pace of an exchange among all."""
    indices = {gpu.index for gpu in gpus}
    among = [link for link in links if indices.issuperset(link.gpus)]
    return min(among, key=lambda link: link.rate, default=UNKNOWN_LINK)
