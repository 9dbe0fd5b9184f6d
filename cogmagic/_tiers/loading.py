"""Seconds of a run before its first step and after its last frame. Pure arithmetic.

They are those that a run's report counts: from the check of the checkpoint's tensors to the written
file. Importing the libraries comes before, and is not among them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cogmagic._machine.rates import Rates
from cogmagic._tiers.host_memory import HostMemory
from cogmagic._tiers.weight_files import file_bytes
from cogmagic._tiers.workload import Workload
from cogmagic._units import GIB

__all__ = ["NOTHING_READ", "Loading", "loading", "save_seconds"]

_CHECKS = 0.6
"""Seconds for the headers of the weight files, the plan and the empty modules, in every run (0.5 to
0.9 on the hosts of an H100 and an H200: docs/benchmarks/tiers.jsonl and lora.jsonl)."""
_MODULES = 0.5
"""Seconds to build the components' modules, in every run that loads weights."""
_FIRST_LOAD, _FIRST_CALLS = 0.6, 0.9
"""Seconds of a kernel's first run: for the CUDA context and the probe, and for the code that each
phase loads when it is first called (0.3 to 0.5 s of decoding alone)."""
_ENOUGH = GIB
"""The fewest bytes whose reading says something about a pace."""
_LOADER, _SEVERAL, _FIRST_LOADER = 0.75, 0.5, 0.5
"""Of the pace of pageable copies, what loaders reach that bring a component's files to a GPU, those
that spread components over several, and either in a kernel's first run."""
_NARROWING = 2.3e9
"""Bytes a second of 16-bit weights that a storage such as fp8 narrows, one layer after another: 4.2
to 5.8 s for 5b (docs/benchmarks/lora.jsonl, against the same without it)."""
_SAVE, _SAVED_PIXELS = 0.2, 28e6
"""Seconds to save a video, and pixels encoded a second (docs/benchmarks/tiers.jsonl)."""


@dataclass(frozen=True)
class Loading:
    """What is read before the first step. Bytes."""

    uncached: float = 0.0
    """Read from the disk."""
    copied: float = 0.0
    """Copied from the page cache into memory of the process."""
    pinned: float = 0.0
    """Page-locked."""
    narrowed: float = 0.0
    """Converted to the weight storage."""
    to_gpu: float = 0.0
    """Brought from the files to a GPU, counted at the pace of pageable copies."""
    modules: bool = False
    """Whether components are loaded at all."""
    first_run: bool = False
    """Whether the kernel has made no video yet."""

    def seconds(self, rates: Rates) -> float:
        """Seconds at these rates."""
        return (
            _CHECKS
            + _MODULES * self.modules
            + (_FIRST_LOAD + _FIRST_CALLS) * self.first_run
            + self.uncached / rates.disk
            + self.copied / rates.copying
            + self.pinned / rates.pinning
            + self.narrowed / _NARROWING
            + self.to_gpu / rates.pageable
        )

    def measured(self, seconds: float, rates: Rates) -> tuple[str, float] | None:
        """Which pace a loading phase of `seconds` measured, and bytes a second; None for none.

        A kernel's first run does not measure the pace of copies: what it does besides takes 1 to 5
        s, and copying whole checkpoints no longer.

        Args:
            seconds: of the phase.
            rates: by which the rest of the phase is predicted.
        """
        if not self.copied:  # read in other phases, too
            return None
        if self.uncached >= _ENOUGH:
            name, nbytes, predicted = "disk", self.uncached, self.uncached / rates.disk
        elif self.copied >= _ENOUGH and self.uncached < 0.02 * self.copied and not self.first_run:
            name, nbytes, predicted = "copying", self.copied, self.copied / rates.copying
        else:
            return None
        rest = self.seconds(rates) - _FIRST_CALLS * self.first_run - predicted
        return name, nbytes / max(seconds - rest, 0.1 * predicted)


NOTHING_READ = Loading()


def loading(work: Workload, weights: str, host: HostMemory) -> Loading:
    """What a tier reads.

    Args:
        work: what is to run.
        weights: where the tier's weights wait (`Tier.weights`).
        host: the host memory that it takes.
    """
    if weights == "host" and work.loaded:
        return NOTHING_READ
    f, on_disk = work.stored, file_bytes(work.request, work.files, work.dtype)
    if weights == "files":  # what no phase needs is not read
        f = work.active
        on_disk = {name: n for name, n in on_disk.items() if getattr(f, name).weights}
    nbytes = f.text_encoder.weights + f.transformer.weights + f.vae.weights
    read = Loading(
        uncached=(1 - work.cached) * sum(on_disk.values()),
        narrowed=(work.files.transformer.weights if work.converted else 0.0)
        + (work.files.text_encoder.weights if work.text_storage and f.text_encoder.weights else 0),
        modules=True,
        first_run=work.first_run,
    )
    if weights != "host":
        share = _SEVERAL if weights == "gpus" else _FIRST_LOADER if work.first_run else _LOADER
        return replace(read, to_gpu=nbytes / share)
    if not host.copies:  # they stay mapped files, which a copy to the GPU reads
        return read
    return replace(read, copied=sum(on_disk.values()), pinned=nbytes)


def save_seconds(work: Workload) -> float:
    """Seconds to encode and write the video."""
    r = work.request
    return _SAVE + r.num_frames * r.height * r.width / _SAVED_PIXELS
