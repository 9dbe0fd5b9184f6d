"""A pipeline that stays placed between runs, where that was asked for and the tier allows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from cogmagic._interrupts import interrupts_ignored
from cogmagic._machine.gpu import Gpu
from cogmagic._machine.machine import Machine
from cogmagic._tiers.place import modules
from cogmagic._units import GIB

__all__ = ["HOT_TIERS", "Hot", "on_gpus"]


HOT_TIERS = ("none", "balanced")
"""The tiers in which the weights stay on the GPU while they run; the others bring them in turn."""


class Hot:
    """What is placed now: nothing, or one pipeline, known by a key."""

    def __init__(self) -> None:
        self.key: object = None
        """What makes a placement the same as another; None where nothing is placed."""
        self.nbytes: dict[int, int] = {}
        """Per GPU, the bytes of its weights."""
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
        """`pipe` placed by `place`, or as it was left by the run before, if `key` is the same.

        Args:
            key: what makes a placement the same as another.
            pipe: what is placed.
            place: places it; leaving the context takes it off again.
            stay: whether it stays when all goes well; it never does after an error.
        """
        stays = False
        try:
            if self.key != key:
                self.cool()
                self._undo.enter_context(place())
                self.key, self.nbytes = key, on_gpus(pipe)
            yield
            stays = stay
        finally:
            if not stays:
                self.cool()

    def cool(self) -> None:
        """Take off what is placed."""
        with interrupts_ignored():
            self.key, self.nbytes = None, {}
            undo, self._undo = self._undo, ExitStack()
            undo.close()

    def without(self, machine: Machine) -> Machine:
        """The machine as it would be if nothing stayed: what stays can be taken off for a run."""
        if not self.nbytes:
            return machine
        gpus = tuple(
            replace(g, allocated=g.allocated - self.nbytes.get(g.index, 0)) if g.allocated else g
            for g in machine.gpus
        )
        return replace(machine, gpus=_preferring(gpus, set(self.nbytes)))


def _preferring(gpus: tuple[Gpu, ...], indices: set[int]) -> tuple[Gpu, ...]:
    """The GPUs, of which the only one with weights is the roomiest unless another is by much.

    Its CUDA context makes it seem the less roomy one, and the weights would move with each run.
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
    for module in modules(pipe):
        for part in module.modules():  # parameters() would spell out a thousand names
            for tensor in (*part._parameters.values(), *part._buffers.values()):
                if tensor is not None and tensor.device.type in ("cuda", "mps"):
                    seen[tensor.device.index or 0, tensor.data_ptr()] = tensor.nbytes
    found: dict[int, int] = {}
    for (index, _), nbytes in seen.items():
        found[index] = found.get(index, 0) + nbytes
    return found
