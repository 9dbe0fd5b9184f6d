"""What the kernel holds: one pipeline at most, in host memory and perhaps on a GPU as well."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from cogmagic._interrupts import interrupts_ignored
from cogmagic._machine.machine import Machine
from cogmagic._machine.memory import empty_cache
from cogmagic._machine.ram import host_ram
from cogmagic._models.checkpoint import fingerprint
from cogmagic._pipeline.cancel import checked_between_operations
from cogmagic._planning.options import Placing
from cogmagic._planning.plan import Plan
from cogmagic._session.calibration import look
from cogmagic._session.hot import Hot, on_gpus
from cogmagic._session.loaded import Loaded, order_of
from cogmagic._session.prepare import Prepared
from cogmagic._tiers.host_memory import PROCESS, RESERVE
from cogmagic._units import gib

__all__ = ["Held", "placement"]


class Held:
    """The pipeline that is loaded, and whether it stays placed between runs."""

    def __init__(self) -> None:
        self.loaded: Loaded | None = None
        self.hot = Hot()
        """What stays placed between runs."""

    def look(self, gpus: Sequence[str]) -> Machine:
        """This machine now, with those GPUs or all, as it would be if nothing were held."""
        gc.collect()  # what nobody refers to any more is not in the way
        return self.without(look(gpus))

    def without(self, machine: Machine) -> Machine:
        """The machine as it would be if nothing were held: all that a run can use.

        What else the notebook has in host memory stays there, and is none of it.
        """
        held = self.loaded.private if self.loaded else 0
        return self.hot.without(replace(machine, ram=machine.ram.reusing(PROCESS + held)))

    def has(self, folder: Path, dtype: str, *, fp8: bool) -> bool:
        """Whether the weights of a checkpoint are in host memory, as a run would have them."""
        here = self.loaded
        if here is None or here.staged or here.spread:
            return False
        wanted = folder, dtype, fp8, fingerprint(folder)
        return (here.folder, here.dtype, here.fp8, here.files) == wanted

    def load(
        self,
        job: Prepared,
        chosen: Plan,
        machine: Machine,
        key: object,
        check: Callable[[], None],
    ) -> Loaded:
        """The pipeline that the request needs: the one that is here, or a new one in its place.

        Args:
            job: the request and its checkpoint.
            chosen: how it is to run.
            machine: where.
            key: what makes its placement the same as another.
            check: called between the tensors that are loaded; raises when the run is to end.
        """
        from cogmagic._tiers.balanced import check_balanced

        folder = job.folder

        if self.loaded and self.hot.key == key:
            return self.loaded
        self.hot.cool()
        if self.loaded and self.loaded.serves(chosen, folder):
            return self.loaded
        if chosen.tier == "balanced":
            # May refuse: before what is here goes.
            check_balanced(folder, chosen.dtype, machine, order_of(chosen, machine))
        self.drop()
        with checked_between_operations(check):
            self.loaded = Loaded.of(job.request.model, chosen, folder, machine)
        return self.loaded

    def keep(self, chosen: Plan, placing: Placing) -> str:
        """Decide where the weights stay for the next run, if anywhere; what was decided."""
        left, spread = host_ram().available, chosen.tier == "balanced"
        if spread and self.hot.key is None:
            why = "weights were on the GPUs only: not kept"
        elif placing.keep == "cold":
            why = "weights not kept, as asked"
        elif chosen.tier == "staged":
            return "weights went from the files to the GPU: not kept"
        elif not spread and left is not None and left < RESERVE:
            why = f"weights not kept: {gib(left)} of RAM left"
        elif self.hot.nbytes:
            empty_cache()  # of what the run itself took
            return "weights stay on the GPU"
        else:
            return ""
        self.drop()
        empty_cache()
        return why

    def cool(self) -> None:
        """Leave none of the weights on the GPU."""
        with interrupts_ignored(), suppress(RuntimeError):  # what a lost GPU says to everything
            self.hot.cool()
            if self.loaded and self.loaded.spread:
                self.drop()
                empty_cache()

    def drop(self) -> int:
        """Let go of the pipeline; the bytes of weights that host memory got back."""
        self.hot.cool()
        freed = self.loaded.let_go() if self.loaded else 0
        self.loaded = None
        gc.collect()
        return freed

    def weights_on_gpus(self) -> dict[int, int]:
        """Bytes of the pipeline's weights on each GPU, now; may be asked from any thread."""
        loaded = self.loaded
        try:
            return on_gpus(loaded.pipe) if loaded else {}
        except (RuntimeError, AttributeError):  # it is being placed at this moment
            return {}


def placement(job: Prepared, chosen: Plan, machine: Machine) -> object:
    """What makes the placement of a run the same as another's."""
    spread = chosen.tier == "balanced"  # always with its text encoder
    gpus = machine.gpus if spread else (machine.roomiest,)
    where = machine.device, tuple(g.index for g in gpus if g)
    how = chosen.tier, chosen.dtype, chosen.text or spread, chosen.savings.fp8
    return job.folder, fingerprint(job.folder), where, how
