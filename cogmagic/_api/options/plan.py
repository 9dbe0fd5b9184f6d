"""The options of ``%cogvideo plan`` beside those of a cell."""

from __future__ import annotations

from cogmagic._api.options.option import Option
from cogmagic._machine.amounts import gib_bytes
from cogmagic._machine.card_completion import complete_cards
from cogmagic._units import GIB

__all__ = ["PLAN_OPTIONS"]


def _gib(text: str, flag: str) -> float:
    return gib_bytes(text, flag) / GIB


_PLAN = "Planning for another machine"


PLAN_OPTIONS: tuple[Option, ...] = (
    Option(
        "gpu",
        'GPU model, such as "RTX 3060" or "2x A100 40GB"',
        _PLAN,
        "NAME",
        complete=complete_cards,
        spaces=True,
    ),
    Option("vram", "GiB of VRAM of that GPU, or of any GPU", _PLAN, "GIB", convert=_gib),
    Option("ram", "GiB of host memory", _PLAN, "GIB", convert=_gib),
    Option("which-gpu", "list the GPU models that can run this, and how fast", _PLAN),
    Option("json", "print the plan as JSON", _PLAN),
)
