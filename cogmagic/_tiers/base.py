"""The interface of a tier: where components are during a run, as a prediction and as an action.

A tier is a file in this package and a line in `registry`. It must define its name, title
and meaning, `phases` and `place`; the rest has the defaults of a tier whose weights wait in host
memory.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from cogmagic._footprint.footprint import Footprint
from cogmagic._footprint.savings import Savings
from cogmagic._machine.machine import Machine
from cogmagic._machine.rates import Rates
from cogmagic._models.adapters.adapter import Adapter
from cogmagic._models.chunks import chunk_count
from cogmagic._models.model import Dtype
from cogmagic._pipeline.spec import PipelineSpec
from cogmagic._tiers.host_memory import HostMemory, copies_or_files
from cogmagic._tiers.plain_pace import Pace, plain_pace
from cogmagic._tiers.workload import Workload

if TYPE_CHECKING:
    import torch
    from torch import nn

    from cogmagic._tiers.host_copy import HostCopy

__all__ = [
    "ONE_GPU",
    "Assess",
    "Fit",
    "Phases",
    "Placement",
    "Source",
    "Tier",
    "Variant",
    "encoding_video",
]

Phases = Mapping[str, int]
"""The peak of each phase on one GPU, in bytes of tensors: ``load``, ``encode``, ``encode video``
with a video to begin from, ``denoise``, ``decode``; and ``before decode``, what is still there when
decoding begins, where that is counted apart from what the VAE takes."""


def encoding_video(f: Footprint, beside: int, *, leaves: bool = False) -> dict[str, int]:
    """The phase that encodes a video to begin from; empty without one.

    Args:
        f: the request's footprint.
        beside: bytes beside the activations.
        leaves: whether each leaf module has its weights on the device only while it runs.
    """
    if f.encode_video is None:
        return {}
    work = f.encode_video
    return {"encode video": beside + (work.leaf_peak if leaves else work.peak)}


@dataclass(frozen=True)
class Variant:
    """The choices that a tier makes for one request on one machine."""

    resident_blocks: int = 0
    """Blocks of the transformer that stay on the GPU while denoising."""
    order: tuple[int, ...] = ()
    """The GPUs by torch's index, the largest component's first; empty on one GPU."""


ONE_GPU = Variant()
"""The variant of a tier without choices."""


@dataclass(frozen=True)
class Fit:
    """How a variant fits the GPUs, in bytes."""

    missing: int
    """VRAM missing on the GPU that lacks most; 0 if it fits."""
    left: int
    """VRAM left on the fullest GPU."""


class Assess(Protocol):
    """The planner's check of one variant."""

    def __call__(self, variant: Variant, *, headroom: int = 0) -> Fit:
        """The fit of `variant` with `headroom` bytes added to denoising."""


@dataclass(frozen=True)
class Source:
    """The checkpoint from which components are loaded during a run."""

    folder: Path
    dtype: Dtype
    storage: str
    """The weight storage of the transformer's linear layers; empty for `dtype`."""
    files: tuple[tuple[str, int, int], ...]
    """Names, sizes and times of the folder's files when the run began."""
    adapters: tuple[Adapter, ...] = ()
    """The transformer's adapters."""
    text_storage: str = ""
    """The storage of the text encoder's linear layers; empty for `dtype`."""


@dataclass(frozen=True)
class Placement:
    """How a pipeline is placed for one run."""

    device: torch.device
    """The device that computes."""
    variant: Variant = ONE_GPU
    pinned: Collection[nn.Module] = ()
    """The components whose weights are page-locked."""
    encodes: bool = True
    """Whether the run needs the text encoder."""
    source: Source | None = None
    """The checkpoint, for tiers that load components during a run."""
    check: Callable[[], None] = lambda: None
    """Called between tensors as they are placed; raises when the run is to end."""


class Tier(ABC):
    """Where the components of a pipeline are while a video is made."""

    name: ClassVar[str]
    """What one types: ``--tier NAME``."""
    title: ClassVar[str]
    """What it is called in a sentence, such as ``model offload``."""
    meaning: ClassVar[str]
    """What it does, in a line for the plan's table."""
    devices: ClassVar[frozenset[str]] = frozenset({"cuda", "mps", "cpu"})
    """The types of device on which it works."""
    weights: ClassVar[Literal["host", "files", "gpus"]] = "host"
    """Where weights wait for their turn: in host memory, in the files, or on the GPUs, where the
    tier's own loader puts them."""
    offloads: ClassVar[bool] = True
    """Whether components leave the GPU during a run, which only helps where a GPU computes."""
    on_gpu: ClassVar[bool] = False
    """Whether all weights are on the GPU during a run, so that they can stay there afterwards."""
    several_gpus: ClassVar[bool] = False
    """Whether it uses more than one GPU."""
    requires_copies: ClassVar[bool] = False
    """Whether it needs the weights as copies in host memory, whatever else fits there."""
    compiles: ClassVar[bool] = True
    """Whether the transformer's blocks can be compiled."""

    # -- whether, and how well

    def refusal(self, machine: Machine, dtype: Dtype | None = None) -> str:
        """Why `machine` cannot do it (in `dtype`), with what to type; empty if it can."""
        if machine.device in self.devices:
            return ""
        return f"Tier {self.name!r} does not work on {machine.device.upper()}. Use --tier none."

    def accepts(self, savings: Savings) -> bool:
        """Whether it can be combined with `savings`."""
        return True

    def choose(self, work: Workload, machine: Machine, assess: Assess) -> Variant | None:
        """The variant to plan with; None where the tier is not possible at all.

        Args:
            work: what is to run.
            machine: where.
            assess: how a variant fits.
        """
        return ONE_GPU

    @abstractmethod
    def phases(self, f: Footprint, overhead: int, variant: Variant) -> tuple[Phases, ...]:
        """The peaks of each phase, for each GPU in use: bytes.

        Args:
            f: the request's footprint.
            overhead: bytes beside the weights and activations in every phase.
            variant: the tier's choices.
        """

    def host_memory(self, work: Workload) -> HostMemory:
        """The host memory that it takes."""
        return copies_or_files(work, required=self.requires_copies)

    def pace(self, work: Workload, rates: Rates, variant: Variant, host: HostMemory) -> Pace:
        """The seconds of each part of a run, after the files were read."""
        return plain_pace(work, rates)

    def seconds(
        self, work: Workload, rates: Rates, variant: Variant, host: HostMemory
    ) -> tuple[float, float]:
        """Seconds of a step, the mean of all, and of a whole run without loading and saving."""
        pace = self.pace(work, rates, variant, host)
        steps, step = work.request.denoising_steps, pace.step
        if work.unguided:
            guided = len(work.request.guided_steps)
            other = self.pace(work.unguided, rates, variant, host).step
            step = (guided * step + (steps - guided) * other) / steps
        onload = 0.0
        if self.weights == "host":
            onload = pace.onload / (rates.locked if host.copies else rates.pageable)
        chunk = pace.video + steps * step + pace.decode
        return step, onload + pace.encode + chunk_count(work.request) * chunk

    # -- doing it

    def check_load(  # noqa: B027 - most tiers have nothing to refuse
        self, folder: Path, dtype: Dtype, machine: Machine, variant: Variant
    ) -> None:
        """Refuse what `load` could not place; nothing is loaded.

        Raises:
            TierError: with the numbers.
        """

    def load(self, spec: PipelineSpec, machine: Machine, variant: Variant) -> Any:
        """The pipeline, as `place` takes it."""
        from cogmagic._pipeline.load import load

        return load(spec)

    @abstractmethod
    def place(self, pipe: Any, placement: Placement, host: HostCopy, undo: ExitStack) -> None:
        """Place `pipe`, whose weights are where `load` left them.

        Afterwards all hooks are removed, and the modules hold the tensors of `host` again.

        Args:
            pipe: the pipeline.
            placement: where and how.
            host: the original tensors.
            undo: takes a callback for everything else that has to be undone.
        """
