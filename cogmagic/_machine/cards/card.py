"""A GPU model, and the reading of tables of them."""

from __future__ import annotations

from dataclasses import dataclass

from cogmagic._units import MIB

__all__ = ["Card", "table_of_cards"]


@dataclass(frozen=True)
class Card:
    """A GPU model."""

    name: str
    vram: int
    """Bytes that the driver reports as total."""
    capability: tuple[int, int] | None
    """NVIDIA's compute capability; None for AMD."""
    tflops_16: float
    """Dense 16-bit tensor TFLOP/s with float32 accumulation; without tensor cores, plain ones."""
    pcie: tuple[int, int]
    """Generation and lanes of the link to the host."""
    bandwidth: float
    """GB/s (10⁹ bytes) of the device's own memory."""
    unified: bool = False
    """Whether its memory is the host's; `vram` is then all of it."""
    also: tuple[str, ...] = ()
    """Other cards that a typed name may mean: of other memory or form."""

    @property
    def host_rate(self) -> float:
        """Bytes a second from page-locked memory: 0.84 of the link's raw rate, as on an H100.

        A lane carries 0.985 GB/s in generation 3 and twice as much in each later one, so 16 lanes
        of generation 5 give 53 GB/s, as measured. A laptop or a slot may have fewer lanes.
        """
        generation, lanes = self.pcie
        return 0.84 * lanes * 0.985e9 * 2.0 ** (generation - 3)

    @property
    def tflops_32(self) -> float | None:
        """Plain float32 TFLOP/s of a card before Ampere; None for newer ones and AMD's.

        By the same whitepapers, tensor cores of Volta and Turing compute 8 times as fast in 16 bits
        (GeForce RTX 20: 4 times, for it accumulates at half the rate), the P100 and GTX 16 twice as
        fast. Other Pascal cards have float16 at 1/64 of float32's rate; cuBLAS computes their
        float16 products in float32.
        """
        shares = {(6, 0): 1 / 2, (6, 1): 1, (7, 0): 1 / 8, (7, 5): 1 / 8}
        if self.capability not in shares:
            return None
        if self.capability == (7, 5) and self.name.startswith(("GTX 16", "RTX 20")):
            return self.tflops_16 / (2 if self.name.startswith("GTX") else 4)
        return self.tflops_16 * shares[self.capability]


def table_of_cards(
    capability: tuple[int, int] | None, pcie: tuple[int, int], rows: str, *, unified: bool = False
) -> tuple[Card, ...]:
    """One card a line: name, MiB, TFLOP/s, GB/s, and the lanes where they differ."""
    cards = []
    for row in rows.strip().splitlines():
        name, mib, tflops, bandwidth, *lanes = (field.strip() for field in row.split("|"))
        link = (pcie[0], int(lanes[0])) if lanes else pcie
        vram, rate, speed = int(mib) * MIB, float(tflops), float(bandwidth)
        cards.append(Card(name, vram, capability, rate, link, speed, unified))
    return tuple(cards)
