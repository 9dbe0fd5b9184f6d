"""GPU models by their makers' datasheets."""

from __future__ import annotations

from cogmagic._machine.amd_cards import AMD_CARDS
from cogmagic._machine.card import Card
from cogmagic._machine.nvidia_cards import NVIDIA_CARDS

__all__ = ["CARDS", "Card"]


CARDS: tuple[Card, ...] = (*NVIDIA_CARDS, *AMD_CARDS)
