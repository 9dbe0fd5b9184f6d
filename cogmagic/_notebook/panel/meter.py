"""The panel's memory meter, and the peaks of a run that it marks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import anywidget
import traitlets as t

__all__ = ["Meter", "Peaks"]


_STATIC = Path(__file__).parent / "static"


class Meter(anywidget.AnyWidget):
    """The memory bars, and whether a page shows them."""

    _esm = _STATIC / "meter.js"
    _css = _STATIC / "panel.css"
    reading = t.Dict().tag(sync=True)
    visible = t.Bool(False).tag(sync=True)
    """Set by the page."""


class Peaks:
    """Peak of reserved memory per GPU over a whole run; torch's counters restart at each phase."""

    def __init__(self) -> None:
        self.bytes: dict[int, int] = {}

    def update(self) -> None:
        """Include the current phase, from torch's counters."""
        import torch

        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            for i in range(torch.cuda.device_count()):
                self.include({i: torch.cuda.max_memory_reserved(i)})

    def include(self, reserved: Mapping[int, int]) -> None:
        """Include these bytes per GPU."""
        self.bytes |= {i: max(n, self.bytes.get(i, 0)) for i, n in reserved.items()}
