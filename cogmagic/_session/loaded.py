"""The pipeline in host memory, and what it was made from."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogmagic._errors import TierError
from cogmagic._machine.machine import Machine
from cogmagic._machine.ram import host_ram, own_ram
from cogmagic._models.catalog import Model
from cogmagic._models.checkpoint import fingerprint
from cogmagic._planning.plan import Plan
from cogmagic._progress import Clock, Progress
from cogmagic._tiers.host_copy import HostCopy
from cogmagic._tiers.place import modules
from cogmagic._units import GIB, gib

if TYPE_CHECKING:
    import torch

    from cogmagic._tiers.pinned import HostWeights

__all__ = ["Loaded", "order_of"]


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
    """Bytes of weights in host memory."""
    own: int = 0
    """The part of `nbytes` that was this process's own when they were loaded, not mapped files."""
    staged: bool = False
    """Whether its components are empty, to be filled on the device."""
    fp8: bool = False
    """Whether the transformer's linear layers are in fp8."""
    host: HostWeights | None = None
    """The weights as copies of their own, page-locked on a machine with CUDA."""

    @classmethod
    def of(cls, model: Model, chosen: Plan, folder: Path, machine: Machine) -> Loaded:
        """Load what `chosen` needs from `folder`."""
        from cogmagic._pipeline.load import load
        from cogmagic._tiers.balanced import load_balanced

        files, staged, fp8 = fingerprint(folder), chosen.tier == "staged", chosen.savings.fp8
        before = own_ram()
        if chosen.tier == "balanced":
            order = order_of(chosen, machine)
            pipe = load_balanced(folder, model.task, chosen.dtype, machine, order)
        else:
            pipe = load(folder, model.task, chosen.dtype, empty=staged)
        if fp8:
            import torch

            from cogmagic._pipeline.storage import STORAGES

            gpu = machine.roomiest if machine.device == "cuda" else None
            compute = torch.device("cuda", gpu.index) if gpu else None
            STORAGES["fp8"].store(pipe.transformer, compute)
        nbytes = 0 if staged or pipe.hf_device_map else HostCopy(modules(pipe)).nbytes
        own = min(max(own_ram() - before, 0), nbytes)
        return cls(pipe, model, chosen.dtype, folder, files, nbytes, own, staged, fp8)

    @property
    def private(self) -> int:
        """Bytes of weights that are this process's own now."""
        return self.nbytes if self.host else self.own

    @property
    def spread(self) -> bool:
        """Whether its weights are on several GPUs and nowhere else, as `balanced` loads them."""
        return bool(self.pipe.hf_device_map)

    def serves(self, chosen: Plan, folder: Path) -> bool:
        """Whether it is what `chosen` needs; in `balanced` the loader places, so it never is."""
        mine = (self.folder, self.dtype, self.files, self.staged, self.fp8)
        wanted = (folder, chosen.dtype, fingerprint(folder))
        kind = (chosen.tier == "staged", chosen.savings.fp8)
        spread = chosen.tier == "balanced" or self.spread
        return not spread and mine == (*wanted, *kind)

    def to_host(self, clock: Clock, device: torch.device, *, required: bool) -> HostWeights | None:
        """Make the weights copies of their own, once, page-locked as far as that is allowed.

        Args:
            clock: is told how far it is.
            device: what is to read them.
            required: whether nothing else will do; else None where there is no room.

        Raises:
            TierError: when host memory is too small for them, which would end the kernel.
        """
        from cogmagic._tiers.pinned import HostWeights

        if self.host is None:
            room = host_ram().reusing(self.private + _SPARE).for_me
            if room is not None and room < self.nbytes + _SPARE:
                if not required:
                    return None
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
        self.host.lock(device)
        return self.host

    def let_go(self) -> int:
        """Give back what is page-locked; how many bytes of weights there were."""
        if self.host:
            self.host.unlock()
        return self.nbytes


def order_of(chosen: Plan, machine: Machine) -> tuple[int, ...]:
    """The GPUs of `balanced`, the largest component's first; the roomiest if none are planned."""
    if chosen.chosen and chosen.chosen.needs.order:
        return chosen.chosen.needs.order
    roomy = sorted(machine.gpus, key=lambda g: g.room or 0, reverse=True)
    return tuple(g.index for g in roomy[:2])
