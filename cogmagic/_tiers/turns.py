"""Components that take turns on a device: one comes when it is called, and the one before goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Turns"]


class Turns:
    """Whose turn it is on the device. What is there at the end is the caller's to take away."""

    def __init__(self, undo: ExitStack) -> None:
        self._undo = undo
        self._go: Callable[[], Any] | None = None

    def add(
        self, called: Sequence[nn.Module], come: Callable[[], Any], go: Callable[[], Any]
    ) -> None:
        """Have `come` called before any of the modules `called` runs, unless it came last.

        Args:
            called: modules whose calls begin the turn.
            come: brings what they need.
            go: takes it away, when another's turn begins.
        """

        def begin(*_: Any) -> None:
            if self._go is go:
                return
            if self._go is not None:
                self._go()
            self._go = None  # if coming fails, nobody is there
            come()
            self._go = go

        for module in called:
            self._undo.callback(module.register_forward_pre_hook(begin).remove)
