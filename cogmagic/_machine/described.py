"""GPUs of a machine that a person describes by card names and amounts of memory."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cogmagic._errors import RequestError
from cogmagic._machine.amounts import gib_bytes
from cogmagic._machine.card_names import find_card, parse_gpus
from cogmagic._machine.cards import Card
from cogmagic._machine.gpu import Gpu
from cogmagic._machine.ram import Ram
from cogmagic._units import GIB, MIB

__all__ = ["described_gpus", "described_ram"]


_DRIVER_AND_DESKTOP = 300 * MIB
"""VRAM that the driver and a desktop take of a card that is otherwise idle."""


_GENERIC = "RTX 3060"
"""The card whose speed an amount of VRAM without a card's name gets."""


def described_gpus(
    gpus: str | None, vram: float | None
) -> tuple[tuple[Gpu, ...], tuple[Card, ...]]:
    """Idle GPUs, less what a driver and a desktop take, and the card of each; none for no names.

    Args:
        gpus: names of cards, as `parse_gpus` takes them.
        vram: GiB of each that may be used. A card's own size in whole GiB is all of it, although
            its driver reports a little less (23.99 of 24).

    Raises:
        RequestError: for unknown cards and impossible amounts.
    """
    amount = None if vram is None else gib_bytes(vram, "--vram")
    if gpus is None and amount is None:
        return (), ()
    cards = parse_gpus(gpus) if gpus is not None else (find_card(_GENERIC),)
    if gpus is not None and amount is not None:
        amount = _within(amount, cards)
    integrated = [c.name for c in cards if c.unified]
    if len(integrated) > 1:
        raise RequestError(
            f"--gpu {gpus!r:.80} names {len(integrated)} integrated GPUs, but a machine has one."
            f" Use --gpu {integrated[0]!r}."
        )
    described = []
    for index, card in enumerate(cards):
        total = amount or card.vram
        name = card.name if gpus is not None else f"GPU of {total / GIB:g} GiB"
        free = total - _DRIVER_AND_DESKTOP
        described.append(
            Gpu(
                index,
                name,
                total=total,
                free=free,
                capability=card.capability,
                unified=card.unified,
            )
        )
    return tuple(described), cards


def described_ram(gpus: Sequence[Gpu], ram: float | None) -> Ram:
    """Host memory of `ram` GiB; at most as much as a unified GPU has, which is also the default.

    Raises:
        RequestError: for an impossible amount.
    """
    amount = None if ram is None else gib_bytes(ram, "--ram")
    shared = [(g.total, g.free) for g in gpus if g.unified and g.total and g.free]
    total, free = min(shared, default=(amount, amount))
    if amount is not None and total is not None and free is not None:
        total, free = min(total, amount), min(free, amount)
    return Ram(total, free)


def _within(amount: int, cards: Sequence[Card]) -> int:
    """`amount` in bytes if every card has that much, its nominal size counted as all it has."""
    smallest = min(cards, key=lambda c: c.vram)
    nominal = math.ceil(smallest.vram / GIB)
    if amount > nominal * GIB:
        raise RequestError(
            f"--vram {amount / GIB:g} is more than {smallest.name} has. Nearest: --vram {nominal}."
        )
    return min(amount, smallest.vram)
