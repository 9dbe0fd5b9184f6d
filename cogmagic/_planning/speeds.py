"""The three speeds: the words that ``--speed`` takes. Pure."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SPEEDS", "Speed"]


@dataclass(frozen=True)
class Speed:
    """One of the words that ``--speed`` takes, and the parts that it switches on."""

    name: str
    compile: bool = False
    """Whether the transformer's blocks are compiled."""
    attention: bool = False
    """Whether the fastest attention kernel within 5e-3 of torch's is used."""
    products: bool = False
    """Whether the transformer's linear layers multiply in fp8."""
    decode: bool = False
    """Whether the video is decoded fast."""


SPEEDS: dict[str, Speed] = {
    speed.name: speed
    for speed in (
        Speed("exact"),
        Speed("fast", compile=True, attention=True, decode=True),
        Speed("faster", compile=True, attention=True, products=True, decode=True),
    )
}
"""All speeds by name, the slowest first."""
