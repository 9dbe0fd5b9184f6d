"""The registry of tiers."""

from __future__ import annotations

from cogmagic._tiers.balanced import Balanced
from cogmagic._tiers.base import Tier
from cogmagic._tiers.model import ModelOffload
from cogmagic._tiers.none import NoOffload
from cogmagic._tiers.sequential import SequentialOffload
from cogmagic._tiers.staged import Staged
from cogmagic._tiers.stream import Stream

__all__ = ["TIERS"]

TIERS: dict[str, Tier] = {
    tier.name: tier
    for tier in (
        NoOffload(),
        Balanced(),
        ModelOffload(),
        Stream(),
        Staged(),
        SequentialOffload(),
    )
}
"""Every tier by name, in order of simplicity: of equally fast ones the planner takes the first."""
