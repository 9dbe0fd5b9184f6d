"""The kernel's one pipeline: in host memory, and perhaps on a GPU as well."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from cogmagic._interrupts import interrupts_ignored
from cogmagic._machine.allocator import empty_cache
from cogmagic._machine.machine import Machine
from cogmagic._machine.ram import host_ram
from cogmagic._models.checkpoints.folder import fingerprint
from cogmagic._models.model import Model
from cogmagic._pipeline.adapters import identity
from cogmagic._planning.memory_options import MemoryOptions
from cogmagic._planning.plan import Plan
from cogmagic._session.calibration import detect
from cogmagic._session.hot import Hot, on_gpus
from cogmagic._session.loaded import Loaded
from cogmagic._session.worker_group import WorkerGroup, without_workers
from cogmagic._tiers.host_memory import PROCESS, RESERVE
from cogmagic._units import gib

__all__ = ["PipelineSlot", "placement_key"]


class PipelineSlot:
    """Holds at most one loaded pipeline, and keeps it placed between runs where that was chosen.

    Or, instead of a pipeline of the kernel's own, the workers of a run on several GPUs.
    """

    def __init__(self) -> None:
        self.loaded: Loaded | None = None
        self.workers: WorkerGroup | None = None
        self.workers_key: object = None
        """The placement that the workers' last run left: see `placement_key`."""
        self.workers_folder: Path | None = None
        """The checkpoint of the workers' weights."""
        self.most_workers = 0
        """Most workers for the rest of a batch, of which a row lost some; 0 for no limit."""
        self.hot = Hot()
        """The pipeline's placement between runs."""
        self.plan: Plan | None = None
        """The plan of the last run that succeeded, or of a batch's last one."""
        self.embeddings = 0
        """Bytes of the prompt embeddings that a batch has in host memory."""

    def look(self, options: MemoryOptions, *, collect: bool = True, frames: int = 0) -> Machine:
        """This machine as a run with `options` may use it now, as if the slot were empty.

        Args:
            options: the GPUs and the limit that apply.
            collect: whether unreferenced tensors are freed first, which takes a third of a second.
            frames: bytes of host memory that finished frames of the run have taken already.
        """
        if collect:
            gc.collect()
        return self.without(detect(options.gpus), frames).limited_to(options.vram_limit)

    def without(self, machine: Machine, frames: int = 0) -> Machine:
        """`machine` as it would be if the slot were empty: all that a run can use.

        Everything else that the notebook has in host memory stays there.
        """
        own = self.loaded.private if self.loaded else 0
        mine = PROCESS + own + self.embeddings + frames
        machine = self.hot.without(replace(machine, ram=machine.ram.reusing(mine)))
        return without_workers(machine, self.workers) if self.workers else machine

    def has(self, folder: Path, dtype: str, storage: str) -> bool:
        """Whether the weights of a checkpoint are in host memory, as a run needs them."""
        here = self.loaded
        if here is None or here.weights != "host":
            return False
        return here.key == (folder, dtype, storage, fingerprint(folder))

    def load(
        self, model: Model, folder: Path, plan: Plan, machine: Machine, check: Callable[[], None]
    ) -> Loaded:
        """The pipeline that a plan needs: the loaded one, or a new one in its place.

        Args:
            model: whose pipeline it is.
            folder: its checkpoint.
            plan: how it is to run.
            machine: where.
            check: called between the tensors as they are loaded; raises when the run is to end.
        """
        from cogmagic._pipeline.stop_checks import checked_between_operations

        self.end_workers()
        if self.loaded and self.hot.key == placement_key(folder, plan, machine):
            return self.loaded
        self.hot.cool()
        if self.loaded and self.loaded.serves(plan, folder):
            return self.loaded
        # May refuse: before the loaded pipeline is dropped.
        plan.placement.check_load(folder, plan.dtype, machine, plan.variant)
        self.drop()
        with checked_between_operations(check):
            self.loaded = Loaded.of(model, plan, folder, machine)
        return self.loaded

    def keep(self, plan: Plan) -> str:
        """Decide where the weights stay for the next run, in words; empty for the default."""
        if self.workers is not None:
            return self._keep_workers(plan)
        left, weights = host_ram().available, self.loaded.weights if self.loaded else ""
        if weights == "gpus" and self.hot.key is None:
            outcome = "weights were on the GPUs only: not kept"
        elif plan.options.keep == "cold":
            outcome = "weights not kept, as requested"
        elif weights == "files":
            return "weights went from the files to the GPU: not kept"
        elif weights == "host" and left is not None and left < RESERVE:
            outcome = f"weights not kept: {gib(left)} of RAM left"
        elif _stays_warm(plan):
            return f"weights stay in RAM: {plan.placement.title} cannot keep them on the GPU"
        elif self.hot.nbytes:
            empty_cache()  # of what the run itself took
            return "weights stay on the GPU"
        else:
            return ""
        self.drop()
        empty_cache()
        return outcome

    def _keep_workers(self, plan: Plan) -> str:
        """Keep the workers for the next run, or end them."""
        left, hot = (
            host_ram().available,
            self.workers is not None and any(self.workers.hot.values()),
        )
        if plan.options.keep != "cold" and (left is None or left >= RESERVE):
            return "weights stay on the GPUs" if hot else ""
        self.end_workers()
        if plan.options.keep == "cold":
            return "weights not kept, as requested"
        return f"weights not kept: {gib(left)} of RAM left"

    def end_workers(self) -> int:
        """End the workers; returns the bytes of their private host memory."""
        workers, self.workers, self.workers_key = self.workers, None, None
        self.workers_folder = None
        if workers is None:
            return 0
        freed = workers.ram
        workers.kill()
        return freed

    def settle(self) -> None:
        """After a batch's last row, leave the weights where `keep` says."""
        with interrupts_ignored():
            self.embeddings = self.most_workers = 0
            if self.plan is None:
                return
            if self.workers is not None:
                self.workers.settle()
            elif not (self.plan.options.keep == "hot" and self.plan.placement.on_gpu):
                self.hot.cool()
            self.keep(self.plan)

    def cool(self) -> None:
        """Leave none of the weights on the GPU."""
        with interrupts_ignored(), suppress(RuntimeError):  # a lost GPU raises on every call
            self.hot.cool()
            if self.workers is not None and any(self.workers.hot.values()):
                self.workers.settle(cool=True)
                self.workers_key = None
            if self.loaded and self.loaded.weights == "gpus":
                self.drop()
                empty_cache()

    def drop(self) -> int:
        """Drop the pipeline or the workers; returns the bytes in host memory that this frees."""
        if self.loaded is None and self.workers is None:
            return 0
        self.hot.cool()
        freed = self.end_workers() + (self.loaded.unpin() if self.loaded else 0)
        self.loaded = None
        gc.collect()
        return freed

    def weights_on_gpus(self) -> dict[int, int]:
        """Bytes of the pipeline's weights on each GPU, now; may be called from any thread."""
        loaded, workers = self.loaded, self.workers
        if workers is not None:
            return dict(workers.hot)
        try:
            return on_gpus(loaded.pipe) if loaded else {}
        except (RuntimeError, AttributeError):  # it is being placed at this moment
            return {}


def _stays_warm(plan: Plan) -> bool:
    """Whether hot weights were requested with a tier that cannot keep them on the GPU."""
    return plan.options.keep == "hot" and plan.device != "cpu" and not plan.placement.on_gpu


def placement_key(folder: Path, plan: Plan, machine: Machine) -> object:
    """A value that is the same for two runs which place the pipeline alike."""
    by_loader = plan.placement.weights == "gpus"  # always with the text encoder
    gpus = machine.gpus if by_loader else (machine.roomiest,)
    where = machine.device, tuple(g.index for g in gpus if g), plan.ranks
    encodes = by_loader or not plan.available.prompts_cached
    blocks = plan.variant.resident_blocks
    storage, compiles = plan.savings.stored_as, plan.speedups.compile
    how = plan.tier, plan.dtype, encodes, storage, compiles, blocks
    return folder, fingerprint(folder), where, how, identity(plan.request.loras)
