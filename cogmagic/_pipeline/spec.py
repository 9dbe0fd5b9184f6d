"""The specification of a pipeline to load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cogmagic._models.model import Dtype, Task

if TYPE_CHECKING:
    import torch

    from cogmagic._pipeline.storage.quantised import Quantised

__all__ = ["PipelineSpec"]


@dataclass(frozen=True)
class PipelineSpec:
    """A checkpoint, its pipeline class, and the form in which its weights are loaded."""

    folder: Path
    """The checkpoint."""
    task: Task
    """Which pipeline class to load."""
    dtype: Dtype
    """The precision of the components."""
    text: bool = True
    """Whether it has a text encoder."""
    quantised: Mapping[str, Quantised] = field(default_factory=dict)
    """The storage of each component that is quantised while it is loaded."""
    widened: frozenset[str] = frozenset()
    """Components whose plain fp8 becomes `dtype`, since a storage narrows it again."""
    gpu: torch.device | None = None
    """The GPU that computes, which some libraries quantise on."""

    def has(self, component: str) -> bool:
        """Whether the pipeline has this component."""
        return self.text or component != "text_encoder"
