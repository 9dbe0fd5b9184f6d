"""Which rank decodes which tile. Pure: no torch."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["owners"]


def owners(tiles: Sequence[tuple[int, int]], count: int) -> list[int]:
    """The rank that decodes each tile: the largest tiles first, each to the rank with least work.

    Args:
        tiles: height and width of each, in the order in which they are decoded.
        count: the number of ranks.
    """
    areas = [height * width for height, width in tiles]
    loads, ranks = [0] * count, [0] * len(areas)
    for tile in sorted(range(len(areas)), key=lambda i: -areas[i]):
        ranks[tile] = min(range(count), key=loads.__getitem__)
        loads[ranks[tile]] += areas[tile]
    return ranks
