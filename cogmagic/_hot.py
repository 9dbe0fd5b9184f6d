"""A pipeline that stays placed between runs, where that was asked for and the tier allows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from cogmagic._apply import modules
from cogmagic._interrupts import interrupts_held
from cogmagic._machine import Machine

__all__ = ["HOT_TIERS", "Hot", "on_gpus"]

HOT_TIERS = ("none", "balanced")
"""The tiers in which the weights stay on the GPU while they run; the others bring them in turn."""


class Hot:
    """What is placed now: nothing, or one pipeline, known by a key."""

    def __init__(self) -> None:
        self.key: object = None
        """What makes a placement the same as another; None where nothing is placed."""
        self._undo = ExitStack()
        self._nbytes: dict[int, int] = {}

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
        if self.key != key:
            self.cool()
            self._undo.enter_context(place())
            self.key, self._nbytes = key, on_gpus(pipe)
        stays = False
        try:
            yield
            stays = stay
        finally:
            if not stays:
                with interrupts_held():
                    self.cool()

    @property
    def on_gpu(self) -> bool:
        """Whether what stays is on a GPU."""
        return bool(self._nbytes)

    def cool(self) -> None:
        """Take off what is placed."""
        self.key, self._nbytes = None, {}
        undo, self._undo = self._undo, ExitStack()
        undo.close()

    def without(self, machine: Machine) -> Machine:
        """The machine as it would be if nothing stayed: what stays can be taken off for a run."""
        gpus = tuple(
            replace(g, allocated=g.allocated - self._nbytes.get(g.index, 0)) if g.allocated else g
            for g in machine.gpus
        )
        return replace(machine, gpus=gpus) if self._nbytes else machine


def on_gpus(pipe: Any) -> dict[int, int]:
    """Bytes of weights on each GPU."""
    found: dict[int, int] = {}
    for module in modules(pipe):
        for tensor in {t.data_ptr(): t for t in (*module.parameters(), *module.buffers())}.values():
            if tensor.is_cuda:
                index = tensor.get_device()
                found[index] = found.get(index, 0) + tensor.nbytes
    return found
