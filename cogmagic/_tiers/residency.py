"""Mutually exclusive residency: calling a component loads it and evicts the previous one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Residency"]


class Residency:
    """The one component that is on the device; the caller removes the last one."""

    def __init__(self, undo: ExitStack) -> None:
        self._undo = undo
        self._evict: Callable[[], Any] | None = None

    def add(
        self, called: Sequence[nn.Module], load: Callable[[], Any], evict: Callable[[], Any]
    ) -> None:
        """Call `load` before any of the modules `called` runs, unless it was the last to load.

        Args:
            called: modules whose calls need the component.
            load: brings it to the device.
            evict: removes it, when another component is called.
        """

        def begin(*_: Any) -> None:
            if self._evict is evict:
                return
            if self._evict is not None:
                self._evict()
            self._evict = None  # if loading fails, nothing is resident
            load()
            self._evict = evict

        for module in called:
            self._undo.callback(module.register_forward_pre_hook(begin).remove)
