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


def test_h100_link_rate_matches_the_measurement() -> None:
    assert find_card("H100 SXM").host_rate == pytest.approx(53e9, rel=0.01)
