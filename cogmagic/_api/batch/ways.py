"""How a batch can use several GPUs: a video on each at once, or all of them for each video."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from cogmagic._units import seconds

__all__ = ["Way", "Ways"]


@dataclass(frozen=True)
class Way:
    """One way to make a batch on several GPUs."""

    option: str
    """What one types for it."""
    gpus: int
    """The GPUs in use."""
    at_once: int
    """The videos that are made at the same time."""
    video_seconds: float
    """Of one video, its weights loaded: of the first rows' kind, on the slowest GPU."""
    batch_seconds: float
    """Of the whole batch, loading included."""
    note: str = ""
    """The GPUs that are left out, and why; empty for none."""

    @property
    def gpu_hours(self) -> float:
        """Hours for which the GPUs are taken, together."""
        return self.gpus * self.batch_seconds / 3600

    def __str__(self) -> str:
        each = f"{self.gpus} GPUs for each video"
        how = each if self.at_once == 1 else f"{self.at_once} videos at once, one a GPU"
        times = f"{seconds(self.batch_seconds)}, {self.gpu_hours:.1f} GPU-hours"
        note = f"; {self.note}" if self.note else ""
        return f"{how}: {times}, {seconds(self.video_seconds)} a video ({self.option}){note}"

    def as_json(self) -> dict[str, Any]:
        """The fields, and the GPU-hours."""
        return asdict(self) | {"gpu_hours": self.gpu_hours}


@dataclass(frozen=True)
class Ways:
    """The ways that make most videos an hour, and that make one video soonest."""

    throughput: Way | None
    """None where the model fits on less than two of the GPUs."""
    latency: Way | None
    """None where several GPUs cannot make one video, or gain nothing."""

    @property
    def fastest(self) -> Way | None:
        """The way that ends the batch first."""
        made = [way for way in (self.throughput, self.latency) if way]
        return min(made, key=lambda way: way.batch_seconds, default=None)

    def lines(self) -> list[str]:
        """The plan's lines: both ways, and which is faster."""
        both = self.throughput, self.latency
        return [f"{'fastest ' if w is self.fastest else 'or      '} {w}" for w in both if w]

    def as_json(self) -> dict[str, Any]:
        """Both ways; null for one that is not possible."""
        both = {"throughput": self.throughput, "latency": self.latency}
        return {name: way and way.as_json() for name, way in both.items()}
