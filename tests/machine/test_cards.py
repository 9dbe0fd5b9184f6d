"""The table of GPU models."""

from __future__ import annotations

import pytest

from cogmagic._machine.card_names import CARDS, Card, find_card
from cogmagic._units import GIB


@pytest.mark.parametrize("card", CARDS, ids=lambda c: c.name)
def test_card_figures_are_plausible(card: Card) -> None:
    assert 2 <= card.vram / GIB <= 192
    assert 100 < card.bandwidth < 10_000
    assert 3 <= card.pcie[0] <= 5
    # A sparse figure, or one with float16 accumulation, would be twice what its neighbours have.
    assert 15 < 1000 * card.tflops_16 / card.bandwidth < 500
    assert 5e9 < card.host_rate < 54e9


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
