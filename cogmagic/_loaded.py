"""The pipeline in host memory, and what it was made from."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogmagic._apply import modules
from cogmagic._catalog import Model
from cogmagic._errors import TierError
from cogmagic._gpu import GIB
from cogmagic._host_copy import HostCopy
from cogmagic._machine import Machine
from cogmagic._plan import Plan
from cogmagic._progress import Clock, Progress
from cogmagic._ram import host_ram
from cogmagic._report import gib

if TYPE_CHECKING:
    from cogmagic._host import HostWeights

__all__ = ["Loaded", "fingerprint"]


_SPARE = GIB
"""Host memory for everything but the weights: this process, and some for others."""


@dataclass
class Loaded:
    """A pipeline in host memory, and what it was made from."""

    pipe: Any
    model: Model
    dtype: str
    folder: Path
    files: tuple[tuple[str, int, int], ...]
    """Names, sizes and times of the folder's files: weights saved anew are loaded anew."""
    nbytes: int
    host: HostWeights | None = None
    """The weights as copies of their own, page-locked on a machine with CUDA."""

    @classmethod
    def of(cls, model: Model, chosen: Plan, folder: Path, machine: Machine) -> Loaded:
        """Load what `chosen` needs from `folder`."""
        from cogmagic._pipeline import load, load_balanced

        files = fingerprint(folder)
        if chosen.tier == "balanced":
            pipe = load_balanced(folder, model.task, chosen.dtype, machine)
        else:
            pipe = load(folder, model.task, chosen.dtype)
        nbytes = HostCopy(modules(pipe)).nbytes
        return cls(pipe, model, chosen.dtype, folder, files, nbytes)

    def serves(self, chosen: Plan, folder: Path) -> bool:
        """Whether it is what `chosen` needs; in `balanced` the loader places, so it never is."""
        mine = (self.folder, self.dtype, self.files)
        return chosen.tier != "balanced" and mine == (folder, chosen.dtype, fingerprint(folder))

    def to_host(self, clock: Clock) -> bool:
        """Make the weights copies of their own, once; whether they are page-locked.

        Raises:
            TierError: when host memory is too small for them, which would end the kernel.
        """
        from cogmagic._host import HostWeights

        if self.host is None:
            room = host_ram().for_me
            if room is not None and room < self.nbytes + _SPARE:
                raise TierError(
                    f"Tier 'stream' needs {gib(self.nbytes + _SPARE)} of RAM for copies of the"
                    f" weights, but there are {gib(room)}. Use --tier model or --tier sequential."
                )
            began = time.monotonic()

            def tell(done: int, total: int) -> None:
                spent = time.monotonic() - began
                clock.tell(Progress("load", done, total, spent, note=self.model.name))

            host = HostWeights(modules(self.pipe))
            host.fill(tell)
            self.host = host
        return self.host.lock()

    def let_go(self) -> int:
        """Give back what is page-locked; how many bytes of weights there were."""
        if self.host:
            self.host.unlock()
        return self.nbytes


def fingerprint(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of the files of a checkpoint."""
    files = sorted(p for p in folder.glob("*/*") if p.is_file())
    stats = [(p, p.stat()) for p in files]
    return tuple((str(p), s.st_size, s.st_mtime_ns) for p, s in stats)
