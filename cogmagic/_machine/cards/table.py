"""GPU models by their makers' datasheets."""

from __future__ import annotations

from cogmagic._machine.cards.amd import AMD_CARDS
from cogmagic._machine.cards.card import Card
from cogmagic._machine.cards.nvidia import NVIDIA_CARDS

__all__ = ["CARDS", "Card"]


CARDS: tuple[Card, ...] = (*NVIDIA_CARDS, *AMD_CARDS)
