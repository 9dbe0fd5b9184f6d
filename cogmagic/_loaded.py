"""The pipeline in host memory, and what it was made from."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogmagic._apply import modules, placed
from cogmagic._catalog import Model
from cogmagic._errors import TierError
from cogmagic._gpu import GIB
from cogmagic._host_copy import HostCopy
from cogmagic._interrupts import interrupts_held
from cogmagic._machine import Machine
from cogmagic._memory import empty_cache
from cogmagic._placement import Tier
from cogmagic._plan import Plan
from cogmagic._progress import Clock, Progress
from cogmagic._ram import host_ram
from cogmagic._report import gib

if TYPE_CHECKING:
    import torch

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
    staged: bool = False
    """Whether its components are empty, to be filled on the device; `nbytes` is then 0."""
    fp8: bool = False
    """Whether the transformer's linear layers are in fp8."""
    host: HostWeights | None = None
    """The weights as copies of their own, page-locked on a machine with CUDA."""
    _hot: ExitStack | None = None
    """Takes what is placed on the device away."""
    _placed_as: tuple[object, ...] = ()

    @classmethod
    def of(cls, model: Model, chosen: Plan, folder: Path, machine: Machine) -> Loaded:
        """Load what `chosen` needs from `folder`."""
        from cogmagic._pipeline import load, load_balanced

        files, staged, fp8 = fingerprint(folder), chosen.tier == "staged", chosen.savings.fp8
        if chosen.tier == "balanced":
            pipe = load_balanced(folder, model.task, chosen.dtype, machine)
        else:
            pipe = load(folder, model.task, chosen.dtype, empty=staged)
        if fp8:
            import torch

            from cogmagic._fp8 import store_in_fp8

            gpu = machine.roomiest if machine.device == "cuda" else None
            store_in_fp8(pipe.transformer, torch.device("cuda", gpu.index) if gpu else None)
        nbytes = 0 if staged else HostCopy(modules(pipe)).nbytes
        return cls(pipe, model, chosen.dtype, folder, files, nbytes, staged, fp8)

    def serves(self, chosen: Plan, folder: Path) -> bool:
        """Whether it is what `chosen` needs; in `balanced` the loader places, so it never is."""
        mine = (self.folder, self.dtype, self.files, self.staged, self.fp8)
        wanted = (folder, chosen.dtype, fingerprint(folder))
        kind = (chosen.tier == "staged", chosen.savings.fp8)
        return chosen.tier != "balanced" and mine == (*wanted, *kind)

    @contextmanager
    def placed(
        self, tier: Tier, device: torch.device, *, text: bool, stay: bool, **how: Any
    ) -> Iterator[None]:
        """Hold the pipeline in `tier`, as `cogmagic._apply.placed` does.

        Args:
            tier: where its components go.
            device: what computes.
            text: whether the text encoder is needed.
            stay: whether weights that are all on the device stay there if all went well.
            **how: the rest.
        """
        wanted = (tier, device, text)
        well, there = False, self._placed_as == wanted
        try:
            if not there:
                self.cool()
                self._hot, self._placed_as = ExitStack(), wanted
                self._hot.enter_context(placed(self.pipe, tier, device, text=text, **how))
            yield
            well = True
        finally:
            with interrupts_held():
                if not (well and stay and tier == "none"):
                    self.cool()
                empty_cache()

    def cool(self) -> None:
        """Take off the device what stayed there."""
        stack, self._hot, self._placed_as = self._hot, None, ()
        if stack is not None:
            stack.close()

    @property
    def hot_bytes(self) -> int:
        """Bytes of weights that stayed on the device."""
        return HostCopy(modules(self.pipe)).nbytes if self._hot is not None else 0

    def to_host(self, clock: Clock) -> HostWeights:
        """Make the weights copies of their own, once, page-locked as far as that is allowed.

        Raises:
            TierError: when host memory is too small for them, which would end the kernel.
        """
        from cogmagic._host import HostWeights

        if self.host is None:
            self.cool()  # what is to be copied is what is in host memory
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

            parts = (self.pipe.transformer, self.pipe.vae, self.pipe.text_encoder)
            host = HostWeights(parts)  # in the order in which page-locking them gains most
            host.fill(tell)
            self.host = host
        self.host.lock()
        return self.host

    def let_go(self) -> int:
        """Give back what is on the device or page-locked; how many bytes of weights there were."""
        self.cool()
        if self.host:
            self.host.unlock()
        return self.nbytes


def fingerprint(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of the files of a checkpoint."""
    files = sorted(p for p in folder.glob("*/*") if p.is_file())
    stats = [(p, p.stat()) for p in files]
    return tuple((str(p), s.st_size, s.st_mtime_ns) for p, s in stats)
