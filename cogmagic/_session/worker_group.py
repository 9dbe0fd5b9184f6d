"""The workers as the pipeline slot holds them, and the memory that they would free."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Protocol

from cogmagic._machine.machine import Machine

__all__ = ["WorkerGroup", "without_workers"]


class WorkerGroup(Protocol):
    """The worker processes that make videos together, each with a pipeline of its own."""

    @property
    def alive(self) -> bool:
        """Whether all processes run."""

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes, by rank."""

    @property
    def weights(self) -> int:
        """Bytes of their weights in host memory."""

    @property
    def hot(self) -> Mapping[int, int]:
        """Bytes of their weights on each GPU."""

    @property
    def vram(self) -> Mapping[int, int]:
        """Bytes that they use of each GPU between runs, with their CUDA contexts."""

    @property
    def code(self) -> frozenset[Hashable]:
        """The keys (`code_key`) of the code that they have compiled."""

    @property
    def ram(self) -> int:
        """Bytes of their private host memory, now."""

    def settle(self, *, cool: bool = False) -> None:
        """Leave a batch's weights where `keep` says, or none on a GPU."""

    def kill(self) -> None:
        """End the processes."""


def without_workers(machine: Machine, workers: WorkerGroup) -> Machine:
    """`machine` as it would be without the workers, which a run ends or uses."""
    ram, vram = machine.ram, workers.vram
    if ram.available is not None:
        available = ram.available + workers.ram
        ram = replace(ram, available=min(available, ram.total or available))
    gpus = tuple(
        replace(g, free=min(g.free + vram.get(g.index, 0), g.total or g.free))
        if g.free is not None
        else g
        for g in machine.gpus
    )
    return replace(machine, ram=ram, gpus=gpus)
