"""The loaded pipeline."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cogmagic._errors import TierError
from cogmagic._footprint.packed import widened
from cogmagic._interrupts import interrupts_ignored
from cogmagic._machine.machine import Machine
from cogmagic._machine.ram import host_ram, own_ram
from cogmagic._models.adapters.adapter import Adapter
from cogmagic._models.checkpoints.folder import fingerprint
from cogmagic._models.model import Dtype, Model
from cogmagic._pipeline.spec import PipelineSpec
from cogmagic._planning.plan import Plan
from cogmagic._progress import Clock, Progress
from cogmagic._tiers.hooks import modules
from cogmagic._tiers.host_copy import HostCopy
from cogmagic._units import GIB, gib

if TYPE_CHECKING:
    import torch

    from cogmagic._tiers.pinned_weights import PinnedWeights

__all__ = ["Loaded"]


_OVERHEAD = GIB
"""Host memory for everything but the weights: this process, and some for others."""


@dataclass
class Loaded:
    """A pipeline in host memory, and the checkpoint that it was loaded from."""

    pipe: Any
    model: Model
    folder: Path
    dtype: Dtype
    storage: str
    """The weight storages (`Savings.stored_as`); empty for `dtype`."""
    files: tuple[tuple[str, int, int], ...]
    """Names, sizes and times of the folder's files: weights saved again are loaded again."""
    weights: Literal["host", "files", "gpus"]
    """Where the weights are between their uses, as its tier's loader left them."""
    nbytes: int
    """Bytes of weights in host memory."""
    own: int = 0
    """The part of `nbytes` that is not memory-mapped files, as measured while loading."""
    pinned: PinnedWeights | None = None
    """The weights as copies, page-locked on a machine with CUDA."""
    adapters: tuple[object, ...] = ()
    """The `identity` of the adapters that are attached to the transformer."""
    adapter_bytes: int = 0
    """Bytes of their parameters in host memory, beside `nbytes`."""
    pinned_adapters: PinnedWeights | None = None
    """Their parameters as page-locked copies."""
    unpinned: str = ""
    """Why weights that were planned as page-locked are not, and what follows; empty if they are."""

    @classmethod
    def of(cls, model: Model, plan: Plan, folder: Path, machine: Machine) -> Loaded:
        """Load what `plan` needs from `folder`."""
        files, tier, storage = fingerprint(folder), plan.placement, plan.savings.weights
        before = own_ram()
        device = _gpu(machine)
        spec = PipelineSpec(
            folder,
            model.task,
            plan.dtype,
            text=plan.available.loads_text,
            quantised=plan.savings.quantised,
            widened=widened(plan.savings, machine.device),
            gpu=device,
        )
        pipe = tier.load(spec, machine, plan.variant)
        if storage is not None and not storage.while_loading:
            storage.store(pipe.transformer, device)
        nbytes = HostCopy(modules(pipe)).nbytes if tier.weights == "host" else 0
        return cls(
            pipe=pipe,
            model=model,
            folder=folder,
            dtype=plan.dtype,
            storage=plan.savings.stored_as,
            files=files,
            weights=tier.weights,
            nbytes=nbytes,
            own=min(max(own_ram() - before, 0), nbytes),
        )

    @property
    def key(self) -> tuple[Path, str, str, tuple[tuple[str, int, int], ...]]:
        """What makes the weights the same as others."""
        return self.folder, self.dtype, self.storage, self.files

    @property
    def private(self) -> int:
        """Bytes of weights that are this process's own now."""
        return self.adapter_bytes + (self.nbytes if self.pinned else self.own)

    def serves(self, plan: Plan, folder: Path) -> bool:
        """Whether `plan` can use it; never where the loader places, since each plan differs."""
        weights, storage = plan.placement.weights, plan.savings.stored_as
        if weights != self.weights or weights == "gpus":
            return False
        return self.key == (folder, plan.dtype, storage, fingerprint(folder))

    def pin(self, clock: Clock, device: torch.device, *, required: bool) -> PinnedWeights | None:
        """Make the weights copies, once, page-locked as far as the driver allows.

        Args:
            clock: receives the progress.
            device: the device that reads them.
            required: whether to fail rather than return None where host memory is too small.

        Raises:
            TierError: when host memory is too small for them, which would end the kernel.
        """
        from cogmagic._tiers.pinned_weights import PinnedWeights

        if self.pinned is None:
            usable = host_ram().reusing(self.private + _OVERHEAD).for_copies
            needed = self.nbytes + _OVERHEAD
            if usable is not None and usable < needed:
                if not required:
                    self.unpinned = (
                        f"{gib(usable)} of RAM was left for {gib(needed)} of page-locked weights:"
                        " copying them takes longer"
                    )
                    return None
                raise TierError(
                    f"Tier 'stream' needs {gib(needed)} of RAM for copies of the weights, but"
                    f" {gib(usable)} are available. Use --tier model or --tier sequential."
                )
            began = time.monotonic()

            def report(done: int, total: int) -> None:
                spent = time.monotonic() - began
                clock.report(Progress("load", done, total, spent, note=self.model.name))

            # In the order in which page-locking them gains most.
            parts = (self.pipe.transformer, self.pipe.vae, self.pipe.text_encoder)
            self.adapt(())  # they come and go, but the block with the weights stays
            pinned = PinnedWeights([part for part in parts if part is not None])
            pinned.fill(report)
            self.pinned = pinned
        self.pinned.lock(device)
        refused = self.pinned.refused
        self.unpinned = f"{refused}: copying them takes longer" if refused else ""
        return self.pinned

    def adapt(self, adapters: Sequence[Adapter], pin_for: torch.device | None = None) -> None:
        """Make these the adapters of the transformer, which no tier may have placed.

        Args:
            adapters: in place of those that it has.
            pin_for: the device that reads page-locked weights; None where they are not locked.
        """
        from torch import nn

        from cogmagic._pipeline.adapters import attach, attached, detach, identity
        from cogmagic._pipeline.libraries import torch_dtype
        from cogmagic._tiers.pinned_weights import PinnedWeights

        if (wanted := identity(adapters)) != self.adapters:
            self._unpin_adapters()
            with interrupts_ignored():
                detach(self.pipe.transformer)
            self.adapters, self.adapter_bytes = (), 0
            try:
                attach(self.pipe.transformer, adapters, torch_dtype(self.dtype))
                self.adapters = wanted
            except BaseException:
                with interrupts_ignored():
                    detach(self.pipe.transformer)
                    self.adapters = ()
                raise
            if self.weights == "host":
                self.adapter_bytes = sum(p.nbytes for p in attached(self.pipe.transformer))
        if pin_for is not None and self.adapters:
            if self.pinned_adapters is None:
                parameters = nn.ParameterList(attached(self.pipe.transformer))
                self.pinned_adapters = PinnedWeights([parameters])
                self.pinned_adapters.fill(lambda *_: None)
            self.pinned_adapters.lock(pin_for)

    def _unpin_adapters(self) -> None:
        if self.pinned_adapters:
            self.pinned_adapters.unlock()
        self.pinned_adapters = None

    def unpin(self) -> int:
        """Unlock the page-locked memory; returns the bytes of weights in host memory."""
        self._unpin_adapters()
        if self.pinned:
            self.pinned.unlock()
        return self.nbytes + self.adapter_bytes


def _gpu(machine: Machine) -> torch.device | None:
    """The GPU that computes; None on a machine without CUDA."""
    import torch

    gpu = machine.roomiest if machine.device == "cuda" else None
    return torch.device("cuda", gpu.index) if gpu else None
