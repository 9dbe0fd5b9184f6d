"""An adapter in words, for plans and reports."""

from __future__ import annotations

from collections.abc import Sequence

from cogmagic._models.adapters.adapter import Adapter

__all__ = ["described", "planned"]


def described(adapter: Adapter) -> str:
    """An adapter with its weight, its ranks and its scales: mostly one of each."""
    ranks = sorted({layer.rank for layer in adapter.layers})
    numbers = f"rank {_range(ranks)}, scale {_range(adapter.scales)}"
    return f"{adapter.name}@{adapter.weight:g} ({numbers})"


def planned(adapter: Adapter) -> str:
    """The same with its licence and its download, where there are such."""
    licence = f", licence {adapter.licence}" if adapter.licence else ""
    download = f", {adapter.download / 1e6:,.1f} MB from the hub" if adapter.download else ""
    return f"{described(adapter)}{licence}{download}"


def _range(numbers: Sequence[float]) -> str:
    low, high = f"{numbers[0]:g}", f"{numbers[-1]:g}"
    return low if low == high else f"{low} to {high}"
