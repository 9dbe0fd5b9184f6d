"""Placing a pipeline in its tier, and putting everything back afterwards.

Weights are loaded into host memory once and never copied back: the device gets a copy, and leaving
the device means dropping that copy. Each step is undone exactly once, even if a later one fails.
The device is an argument, so the same hooks run on a CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from cogmagic._interrupts import interrupts_ignored
from cogmagic._machine.allocator import allocated, empty_cache
from cogmagic._pipeline.stop_checks import checked_between_operations
from cogmagic._tiers.base import Placement, Tier
from cogmagic._tiers.hooks import forget_hooks, modules
from cogmagic._tiers.host_copy import HostCopy

__all__ = ["placed"]


@contextmanager
def placed(pipe: Any, tier: Tier, placement: Placement) -> Iterator[None]:
    """`pipe` in `tier`; afterwards all its weights are where its loader left them."""
    undo, by_loader = ExitStack(), tier.weights == "gpus"
    try:
        if by_loader:  # the loader has placed it, with hooks of its own
            undo.callback(forget_hooks, pipe)
        else:
            if not placement.encodes:
                undo.callback(setattr, pipe, "text_encoder", pipe.text_encoder)
                pipe.text_encoder = None
            host = HostCopy(modules(pipe))
            undo.callback(_release, allocated())
            undo.callback(host.restore)
            undo.callback(forget_hooks, pipe)
            with checked_between_operations(placement.check):
                tier.place(pipe, placement, host, undo)
        yield
    finally:
        with interrupts_ignored():
            undo.close()


def _release(before: int | None) -> None:
    """Return what a run has freed; garbage is collected where a CUDA device has more than before.

    Without CUDA nothing tells whether any is left, so it is always collected.
    """
    after = allocated()
    empty_cache(collect=after is None or after > (before or 0))
