"""One tier tried for a request on a machine: its needs, and what the machine lacks for them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cogmagic._machine.gpu import Gpu
from cogmagic._machine.machine import Machine
from cogmagic._planning.candidate import Candidate
from cogmagic._planning.experience import Correct
from cogmagic._planning.pools import Pools, lacking
from cogmagic._planning.ranks import Ranks
from cogmagic._planning.resolved import Resolved
from cogmagic._tiers.base import Fit, Phases, Tier, Variant
from cogmagic._tiers.needs import Needs, predict, reserved_bytes
from cogmagic._tiers.together import COMMUNICATOR, predict_together
from cogmagic._tiers.workload import Workload

__all__ = ["Trial"]


@dataclass(frozen=True)
class Trial:
    """One tier's predictions for one workload on one machine."""

    tier: Tier
    work: Workload
    machine: Machine
    correct: Correct
    uses: Resolved
    compiling: float
    """Seconds of compiling before the first step."""
    ranks: Ranks | None = None
    """The ranks that make the video together; None for one GPU, or those of the tier's variant."""

    def assess(self, variant: Variant, *, headroom: int = 0) -> Fit:
        """How a variant fits, with `headroom` bytes added to denoising."""
        pools = self._pools(self._predicted(variant, self.correct), headroom)
        shared = pools.missing_ram if pools.shared else 0
        return Fit(missing=pools.missing_vram + shared, left=pools.left)

    def candidate(self, variant: Variant) -> Candidate:
        """The candidate in a variant."""
        needs = self._with_compiling(self._predicted(variant, self.correct))
        pools, own = self._pools(needs), needs.peak_ram - needs.beside
        peaks = tuple(nbytes + g.context_to_come for g, nbytes in pools.taken)
        return Candidate(
            needs,
            self._predicted(variant, lambda traced: traced),
            peaks=peaks,
            peak_vram=max(peaks, default=None),
            missing_vram=pools.missing_vram,
            missing_ram=pools.missing_ram,
            missing_addresses=lacking(own + needs.mapped, self.machine.ram.addresses),
            shared=pools.shared,
            resolved=self.uses,
            compile_seconds=self.compiling,
        )

    def _predicted(self, variant: Variant, correct: Correct) -> Needs:
        if self.ranks is not None:
            return predict_together(self.tier, self.work, variant, correct)
        return correct(predict(self.tier, self.work, variant))

    def _with_compiling(self, needs: Needs) -> Needs:
        if needs.seconds is None:
            return needs
        return replace(needs, seconds=needs.seconds + self.compiling)

    def _pools(self, needs: Needs, headroom: int = 0) -> Pools:
        pairs, nccl = _on_gpus(needs, self.machine), 0
        if self.ranks is not None:
            pairs, nccl = list(zip(self.ranks.gpus, needs.gpus, strict=False)), COMMUNICATOR
        taken = [
            (g, reserved_bytes(_with_headroom(phases, headroom)) + nccl) for g, phases in pairs
        ]
        return Pools(taken, needs.peak_ram, self.machine.ram)


def _on_gpus(needs: Needs, machine: Machine) -> list[tuple[Gpu, Phases]]:
    """Each GPU in use, with its phases; none on a CPU."""
    gpu = machine.computing[0] if machine.device == "mps" else machine.roomiest
    gpus = [gpu] if gpu is not None and machine.device != "cpu" else []
    if needs.variant.order:
        gpus = [g for index in needs.variant.order for g in machine.gpus if g.index == index]
    return list(zip(gpus, needs.gpus, strict=False))


def _with_headroom(phases: Phases, nbytes: int) -> Phases:
    return {**phases, "denoise": phases["denoise"] + nbytes} if nbytes else phases
