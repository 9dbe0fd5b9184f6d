"""The GPUs that could make one video together: their numbers, their order, their pace. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cogmagic._machine.experience import card_rates
from cogmagic._machine.gpu import Gpu
from cogmagic._machine.links import Link, link_among
from cogmagic._machine.machine import Machine
from cogmagic._machine.rates import Rates
from cogmagic._models.model import Dtype
from cogmagic._models.request import Request
from cogmagic._pipeline.attention.registry import KERNELS, kernel_refusal
from cogmagic._pipeline.parallel.split import Split, counts, split_of
from cogmagic._planning.memory_options import MemoryOptions
from cogmagic._planning.resolved import compile_problem
from cogmagic._tiers.balanced import usable
from cogmagic._units import GIB

__all__ = ["Ranks", "able", "legal_counts", "ranks_in", "ranks_of"]

_ABOUT = 2 * GIB
"""GPUs whose room differs by less count as equal, and come in their order. What processes leave on
a GPU changes by as much between runs, and for other ranks all processes would start again."""


@dataclass(frozen=True)
class Ranks:
    """The ranks that make one video together."""

    split: Split
    gpus: tuple[Gpu, ...] = ()
    """Their GPUs by rank, as a new process sees them; empty on a CPU."""
    link: Link | None = None
    """The slowest link among them; None on a CPU."""

    @property
    def indices(self) -> tuple[int, ...]:
        """Torch's indices of the GPUs by rank, or 0, 1, … on a CPU."""
        return tuple(g.index for g in self.gpus) or tuple(range(self.split.count))

    @property
    def warning(self) -> str:
        """What slows the exchange; empty for nothing."""
        if self.link is None or self.link.kind != "host memory":
            return ""
        return (
            "these GPUs have no access to each other's memory: NCCL exchanges through host memory,"
            " which is slow"
        )

    def among(self, machine: Machine) -> Machine:
        """`machine` with their GPUs alone."""
        gpus = (g for index in self.indices for g in machine.gpus if g.index == index)
        return replace(machine, gpus=tuple(gpus))

    def pace(self, machine: Machine) -> Machine:
        """`machine` with one GPU: the slowest, which sets the pace, with what all can compute."""
        if not self.gpus:
            return machine
        rates = {gpu.index: _rates(gpu, machine) for gpu in self.gpus}
        slowest = min(self.gpus, key=lambda gpu: _products(rates[gpu.index]))
        capabilities = [gpu.capability for gpu in self.gpus]
        known = min((c for c in capabilities if c), default=None)
        one = replace(slowest, capability=known if None not in capabilities else None)
        unknown = None in rates.values()
        return replace(machine, gpus=(one,), rates=None if unknown else rates[slowest.index])

    @classmethod
    def of(cls, split: Split, gpus: Sequence[Gpu], machine: Machine) -> Ranks:
        """The ranks of these GPUs: the first is the one with most room, for it has the text."""
        by_room = _roomiest_first(gpus)
        ordered = (*by_room[:1], *sorted(by_room[1:], key=lambda gpu: gpu.index))
        link = link_among(machine.links, ordered) if len(ordered) > 1 else None
        return cls(split, tuple(map(_for_new_process, ordered)), link)


def able(
    request: Request, machine: Machine, dtype: Dtype, options: MemoryOptions
) -> tuple[Gpu, ...]:
    """The machine's GPUs that can be ranks: with the dtype and all that was asked for by name."""
    head_dim = request.model.architecture.attention_head_dim

    def lacks(gpu: Gpu) -> str:
        alone = replace(machine, gpus=(gpu,))
        problem = compile_problem(alone) if options.compile else ""
        if options.attention:
            problem += kernel_refusal(KERNELS[options.attention], alone, dtype, head_dim)
        return problem

    return tuple(gpu for gpu in usable(machine, dtype) if not lacks(gpu))


def ranks_of(
    request: Request, machine: Machine, dtype: Dtype, options: MemoryOptions, count: int
) -> tuple[Ranks, ...]:
    """The ways to take `count` of the machine's GPUs: the fastest, and those with most room.

    Args:
        request: what to generate.
        machine: where; without a GPU the ranks are processes on its CPU.
        dtype: in which the ranks compute.
        options: what the person chose.
        count: how many, at most as many as are able.
    """
    heads = request.model.architecture.num_attention_heads
    split = split_of(count, guided=request.guided, heads=heads)
    if machine.device == "cpu":
        return (Ranks(split),)
    gpus = able(request, machine, dtype, options)
    roomiest = _roomiest_first(gpus)
    fastest = sorted(roomiest, key=lambda g: -_products(_rates(g, machine)))
    ways = (Ranks.of(split, best[:count], machine) for best in (fastest, roomiest))
    return tuple(dict.fromkeys(ways))


def ranks_in(split: Split, indices: Sequence[int], machine: Machine) -> Ranks | None:
    """The ranks of a plan on its machine; None where the work is not divided.

    Args:
        split: how it is divided.
        indices: torch's of the GPUs.
        machine: as it is now.
    """
    if split.count == 1:
        return None
    gpus = [gpu for index in indices for gpu in machine.gpus if gpu.index == index]
    return Ranks.of(split, gpus, machine)


def legal_counts(request: Request, most: int) -> tuple[int, ...]:
    """The numbers of GPUs up to `most` that can make a video of `request` together."""
    heads = request.model.architecture.num_attention_heads
    return counts(most, guided=request.guided, heads=heads)


def _roomiest_first(gpus: Sequence[Gpu]) -> list[Gpu]:
    """The GPUs by their room; those with about as much as the roomiest by their index."""
    top = max((gpu.room or 0 for gpu in gpus), default=0)

    def rating(gpu: Gpu) -> tuple[int, int]:
        lack = top - (gpu.room or 0)
        return (lack if lack > _ABOUT else 0), gpu.index

    return sorted(gpus, key=rating)


def _rates(gpu: Gpu, machine: Machine) -> Rates | None:
    """Rates of a GPU in 16 bits: those of the roomiest, if it is the same card, may be probed."""
    one = machine.roomiest
    return machine.rates if one is not None and one.name == gpu.name else card_rates(gpu)


def _products(rates: Rates | None) -> float:
    return rates.products if rates else 0.0


def _for_new_process(gpu: Gpu) -> Gpu:
    """A GPU as a process without a CUDA context sees it, after this kernel has emptied its cache.

    A limit on this kernel's memory includes its context and tensors on that GPU.
    """
    free = None if gpu.free is None else gpu.free + gpu.cached
    return replace(gpu, free=free, reserved=None, allocated=None, allowed=gpu.quota)
