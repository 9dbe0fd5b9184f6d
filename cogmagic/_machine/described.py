"""GPUs of a machine that a person describes by card names and amounts of memory."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from cogmagic._errors import RequestError
from cogmagic._machine.amounts import gib_bytes
from cogmagic._machine.cards.names import NOMINAL_ERROR, find_card, most_memory, parse_gpus
from cogmagic._machine.cards.table import Card
from cogmagic._machine.gpu import Gpu
from cogmagic._machine.ram import Ram
from cogmagic._units import GIB, MIB

__all__ = ["APPLE_CHIPS", "apple_ram", "described_gpus", "described_ram"]


_DRIVER_AND_DESKTOP = 300 * MIB
"""VRAM that the driver and a desktop take of a card that is otherwise idle."""


_GENERIC = "RTX 3060"
"""The card whose speed an amount of VRAM without a card's name gets."""


_APPLE = re.compile(
    r"(?:apple )?(?P<chip>m[1-9]( (pro|max|ultra))?)( (?P<size>\d{1,3}) ?(gib|gb|g))?", re.I
)
"""Apple's chips."""


APPLE_CHIPS = (
    *("M1", "M1 Pro", "M1 Max", "M1 Ultra", "M2", "M2 Pro", "M2 Max", "M2 Ultra"),
    *("M3", "M3 Pro", "M3 Max", "M3 Ultra", "M4", "M4 Pro", "M4 Max", "M5"),
)
"""Those of 2020 to 2025, for completion."""


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
    size = None if amount is None else amount / GIB
    cards = parse_gpus(gpus, size) if gpus is not None else (find_card(_GENERIC),)
    if gpus is not None and amount is not None:
        amount = _within(amount, cards)
    integrated = [c.name for c in cards if c.unified]
    if len(integrated) > 1:
        raise RequestError(
            f"--gpu {gpus!r:.80} names {len(integrated)} integrated GPUs, but a machine has one."
            f" Use --gpu {integrated[0]!r}."
        )
    if len({card.capability is None for card in cards}) > 1:
        raise RequestError(
            f"--gpu {gpus!r:.80} mixes AMD's cards with NVIDIA's, but a torch build computes on one"
            " maker's. Name the cards of one maker."
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


def apple_ram(name: str | None, ram: float | None, vram: float | None) -> Ram | None:
    """The memory of a Mac, ``M3 Max 36GB`` or ``M3 Max`` with `ram` GiB; None for another name.

    Raises:
        RequestError: without an amount of memory, or with `vram`.
    """
    match = _APPLE.fullmatch(name.strip()) if isinstance(name, str) else None
    if match is None:
        return None
    chip, size = match["chip"], match["size"]
    if vram is not None:
        raise RequestError(f"{chip} has no VRAM of its own. Use --ram GIB, the Mac's memory.")
    if ram is None and size is None:
        raise RequestError(f"{chip} has the Mac's memory, 8 to 512 GiB. Add it, as in --ram 16.")
    return described_ram((), float(size) if ram is None else ram)


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
    """`amount` in bytes if every card may have that much, its nominal size counted as all it has.

    More than a datasheet's memory is a rebuilt card's.
    """
    smallest = min(cards, key=lambda c: c.vram)
    nominal, most = math.ceil(smallest.vram / GIB), most_memory(smallest)
    if amount > max(most * GIB, smallest.vram / (1 - NOMINAL_ERROR)):
        times = f"{most // nominal} times what " if most > nominal else ""
        raise RequestError(
            f"--vram {amount / GIB:g} is more than {times}{smallest.name} has. Nearest:"
            f" --vram {most}."
        )
    is_nominal = smallest.vram < amount <= max(nominal * GIB, smallest.vram / (1 - NOMINAL_ERROR))
    return smallest.vram if is_nominal else amount
