"""A pipeline placed in a tier, as a run does it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch

from cogmagic._tiers import place
from cogmagic._tiers.base import Placement, Variant
from cogmagic._tiers.registry import TIERS


def placed(
    pipe: Any, tier: str, device: torch.device, *, resident: int = 0, **options: Any
) -> AbstractContextManager[None]:
    """`pipe` in the tier of that name, with the fields of `Placement` as keywords."""
    placement = Placement(device, Variant(resident), **options)
    return place.placed(pipe, TIERS[tier], placement)
