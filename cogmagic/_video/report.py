"""What a run was and what it took: the facts that a `Video` keeps, small and without tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cogmagic._models.request import Request

__all__ = ["Report", "metadata"]


@dataclass(frozen=True, kw_only=True)
class Report:
    """The measured facts of one run; bytes and seconds."""

    tier: str
    reason: str
    device: str
    dtype: str
    options: tuple[str, ...] = ()
    """What changed the work: ``compile``, ``lean_decode``, ``guidance_halves``, ``fp8``."""
    device_map: Mapping[str, int] = field(default_factory=dict)
    """Component → GPU, where they were spread over several."""
    peak_allocated: Mapping[int, int] = field(default_factory=dict)
    """Per GPU, the most that tensors held at once (``torch.cuda.max_memory_allocated``)."""
    held_before: Mapping[int, int] = field(default_factory=dict)
    """Per GPU, what this kernel's other tensors held when the run began; part of each peak."""
    peak_reserved: Mapping[int, int] = field(default_factory=dict)
    """Per GPU, the most that torch's allocator held at once, caching included."""
    peak_phases: Mapping[str, int] = field(default_factory=dict)
    """Per phase, the most that tensors held at once on any one GPU."""
    peak_ram: int | None = None
    """The most host memory of the process's own, mapped files not counted, as seen at the end of
    each phase; with all else that the notebook has there."""
    step_seconds: float | None = None
    """Seconds of one denoising step, the first one left out; None for a single step."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Per phase; a phase that did not happen is not there."""
    predicted: Mapping[str, float | None] = field(default_factory=dict)
    """What the plan said before: ``peak_allocated`` and ``peak_ram`` (bytes), ``step_seconds`` and
    ``seconds``; None where it could not say."""
    frames_sha256: str = ""
    """Over the uint8 RGB frames before encoding: equal digests are identical videos."""
    revision: str | None = None
    kept: str = ""
    """Where the weights are after the run."""
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def peak_vram(self) -> int | None:
        """The highest `peak_allocated` of any GPU in bytes; None on a machine without one."""
        return max(self.peak_allocated.values(), default=None)

    @property
    def own_peak(self) -> int | None:
        """The same without `held_before`, which is what a prediction is of."""
        held = self.held_before
        return max((n - held.get(i, 0) for i, n in self.peak_allocated.items()), default=None)

    @property
    def total_seconds(self) -> float:
        """Seconds of all phases together."""
        return sum(self.seconds.values())

    def facts(self) -> dict[str, Any]:
        """Everything, as plain values for a file's metadata."""
        return asdict(self)


def metadata(request: Request, report: Report) -> dict[str, Any]:
    """How the video was made, for the file: enough to make it again."""
    r = request
    return {
        "prompt": r.prompt,
        "negative_prompt": r.negative_prompt,
        "model": r.model.name,
        "source": r.model.source if not Path(r.model.source).is_absolute() else "local folder",
        "seed": r.seed,
        "width": r.width,
        "height": r.height,
        "num_frames": r.num_frames,
        "fps": r.fps,
        "num_inference_steps": r.num_inference_steps,
        "guidance_scale": r.guidance_scale,
        "scheduler": r.scheduler,
        **report.facts(),
    }
