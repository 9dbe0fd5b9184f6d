"""The pipeline in host memory, and what it was made from."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogmagic._apply import modules
from cogmagic._catalog import Model
from cogmagic._host_copy import HostCopy
from cogmagic._machine import Machine
from cogmagic._plan import Plan
from cogmagic._progress import Clock, Progress

if TYPE_CHECKING:
    from cogmagic._host import HostWeights

__all__ = ["Loaded", "fingerprint"]


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
        """Make the weights copies of their own, once; whether they are page-locked."""
        from cogmagic._host import HostWeights

        if self.host is None:
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
