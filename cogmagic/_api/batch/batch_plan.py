"""The plans of a batch's rows, as one value."""

from __future__ import annotations

import json
from dataclasses import dataclass

from cogmagic._api.batch.ways import Ways
from cogmagic._planning.plan import Plan
from cogmagic._planning.plan_json import as_json
from cogmagic._units import seconds

__all__ = ["BatchPlan", "Share"]


@dataclass(frozen=True)
class Share:
    """The rows of one size, number of frames and steps, and guidance."""

    plan: Plan
    """Of the first of them, with nothing loaded yet."""
    warm_seconds: float | None
    """Seconds of each further row: the weights are in host memory, its text is encoded, and the
    blocks are compiled."""
    rows: int
    first_row: int
    """The number of the first of them."""


@dataclass(frozen=True)
class BatchPlan:
    """The plans of a batch's rows."""

    shares: tuple[Share, ...]
    ways: Ways | None = None
    """How several GPUs could make it; None where there are none, or it was not asked for."""

    @property
    def rows(self) -> int:
        """The number of rows."""
        return sum(share.rows for share in self.shares)

    @property
    def largest(self) -> Plan:
        """The plan that needs most memory, or one that does not fit."""
        plans = [share.plan for share in self.shares]
        return max(plans, key=lambda p: (not p.fits, p.peak_vram or 0, p.peak_ram or 0))

    @property
    def seconds(self) -> float | None:
        """Seconds of all rows, which load the weights once; None where they are unknown."""
        total = 0.0
        for number, share in enumerate(self.shares):
            if share.warm_seconds is None or share.plan.seconds is None:
                return None
            total += share.rows * share.warm_seconds
            if number == 0:
                total += max(share.plan.seconds - share.warm_seconds, 0.0)
            else:
                total += share.plan.compile_seconds
        return total

    def __str__(self) -> str:
        time = f"{seconds(self.seconds)} in all" if self.seconds is not None else "time unknown"
        sizes = len(self.shares)
        table = f"; the table shows the largest of {sizes} kinds of rows" if sizes > 1 else ""
        lines = [f"{self.largest}", f"batch    {self.rows} videos, {time}{table}"]
        return "\n".join(lines + (self.ways.lines() if self.ways else []))

    def as_json(self) -> str:
        """The JSON of the largest plan, with ``rows``, ``batch_seconds`` and ``ways``."""
        ways = self.ways and self.ways.as_json()
        batch = {"rows": self.rows, "batch_seconds": self.seconds, "ways": ways}
        return json.dumps(json.loads(as_json(self.largest)) | batch, indent=2)
