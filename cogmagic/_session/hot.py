"""The placement that a pipeline keeps between runs with ``keep="hot"``, if its tier allows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from cogmagic._interrupts import interrupts_ignored
from cogmagic._machine.gpu import Gpu
from cogmagic._machine.machine import Machine
from cogmagic._tiers.hooks import modules
from cogmagic._units import GIB

__all__ = ["Hot", "on_gpus"]


class Hot:
    """The current placement: none, or that of one pipeline, identified by a key."""

    def __init__(self) -> None:
        self.key: object = None
        """Equal for equal placements; None where nothing is placed."""
        self.nbytes: dict[int, int] = {}
        """Bytes of its weights on each GPU."""
        self._undo = ExitStack()

    @contextmanager
    def placed(
        self,
        key: object,
        pipe: Any,
        place: Callable[[], AbstractContextManager[None]],
        *,
        stay: bool,
    ) -> Iterator[None]:
        """`pipe` placed by `place`, or as the previous run left it if `key` is the same.

        Args:
            key: equal for equal placements.
            pipe: the pipeline.
            place: places it while its context lasts.
            stay: whether it stays placed after success; it never does after an error.
        """
        stays = False
        try:
            if self.key != key:
                self.cool()
                self._undo.enter_context(place())
                self.key, self.nbytes = key, on_gpus(pipe)
            yield
            if stay:  # a tier that offloads leaves what ran last on the GPU
                self.nbytes = on_gpus(pipe)
            stays = stay
        finally:
            if not stays:
                self.cool()

    def cool(self) -> None:
        """Undo the placement."""
        with interrupts_ignored():
            self.key, self.nbytes = None, {}
            undo, self._undo = self._undo, ExitStack()
            undo.close()

    def without(self, machine: Machine) -> Machine:
        """`machine` as it would be without the placement, which a run can undo."""
        if not self.nbytes:
            return machine
        if machine.device == "mps" and machine.ram.available is not None:
            available = machine.ram.available + sum(self.nbytes.values())
            return replace(machine, ram=replace(machine.ram, available=available))
        gpus = tuple(
            replace(g, allocated=g.allocated - self.nbytes.get(g.index, 0)) if g.allocated else g
            for g in machine.gpus
        )
        return replace(machine, gpus=_preferring(gpus, set(self.nbytes)))


def _preferring(gpus: tuple[Gpu, ...], indices: set[int]) -> tuple[Gpu, ...]:
    """The GPUs, with the one that has the weights preferred unless another has much more free VRAM.

    Its CUDA context makes it seem the fuller one, and the weights would move with each run.
    """
    mine = next((g.available for g in gpus if {g.index} == indices), None)
    if mine is None:
        return gpus
    more = [(g, (g.available or 0) - mine) for g in gpus]
    return tuple(
        replace(g, free=g.free - excess - 1)
        if g.free is not None and g.index not in indices and 0 <= excess < GIB
        else g
        for g, excess in more
    )


def on_gpus(pipe: Any) -> dict[int, int]:
    """Bytes of weights on each GPU; tied ones count once."""
    seen: dict[tuple[int, int], int] = {}
    parts = list(modules(pipe))
    while parts:  # parameters() would build a thousand names, and modules() a set
        part = parts.pop()
        if part._modules:
            parts += [one for one in part._modules.values() if one is not None]
        for tensors in (part._parameters, part._buffers):
            for tensor in tensors.values():
                if tensor is not None and (tensor.is_cuda or tensor.is_mps):
                    seen[tensor.device.index or 0, tensor.data_ptr()] = tensor.nbytes
    totals: dict[int, int] = {}
    for (index, _), nbytes in seen.items():
        totals[index] = totals.get(index, 0) + nbytes
    return totals
